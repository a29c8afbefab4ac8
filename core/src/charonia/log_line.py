"""Lines of the log: what a client has named keeps to the one that it is written in."""

from __future__ import annotations

__all__ = ["in_one_line"]


def in_one_line(name: str) -> str:
    """Write a name that a client may have given so that it cannot end a line of the log, and begin one of its own."""
    return name if name.isprintable() else repr(name)[1:-1]

"""Lines of the log: what a client has named, or a model has raised, keeps to the one that it is written in."""

from __future__ import annotations

__all__ = ["in_one_line"]


def in_one_line(text: str) -> str:
    """Write a text that others may have made so that it cannot end a line of the log, and begin one of its own."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)

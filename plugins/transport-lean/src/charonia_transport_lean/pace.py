"""The pace that is asked of clients: who keeps it may take any time, and who does not has a minute more."""

from __future__ import annotations

__all__ = ["credited"]

_LEAST_PER_SECOND = 1024
"""How many bytes that a client sends or reads make a second's wait for the next ones legitimate."""


def credited(since: float, count: int, now: float) -> float:
    """Have the clock that runs against a client go on from later.

    Args:
        since: from when it runs, in seconds.
        count: how many bytes the client has sent or read.
        now: the time, in seconds.
    """
    return min(now, since + max(0, count) / _LEAST_PER_SECOND)

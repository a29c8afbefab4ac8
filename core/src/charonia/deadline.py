"""A moment until which several things, one after the other, may take together."""

from __future__ import annotations

import threading
import time

__all__ = ["Deadline"]


class Deadline:
    """A moment in the future.

    Args:
        seconds: how far it is from now; None is never.
    """

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left, 0 or more, as locks, events and threads take them."""
        if self._at is None:
            return threading.TIMEOUT_MAX
        return min(max(0.0, self._at - time.monotonic()), threading.TIMEOUT_MAX)

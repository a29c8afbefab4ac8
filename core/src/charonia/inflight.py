"""The count of requests that a model has accepted and not yet finished."""

from __future__ import annotations

import threading

__all__ = ["InFlight"]


class InFlight:
    """A door with a counter: requests enter while it is open, and whoever closes it can wait until all have left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_count` and `_closed`
        self._empty = threading.Event()
        self._count = 0
        self._closed = False

    def enter(self) -> bool:
        """Count one in. False if the door is closed."""
        with self._lock:
            if self._closed:
                return False
            self._count += 1
            return True

    def leave(self) -> None:
        """Count one out."""
        with self._lock:
            self._count -= 1
            if self._closed and self._count == 0:
                self._empty.set()

    def close(self) -> None:
        """Let nobody in any more. Idempotent."""
        with self._lock:
            self._closed = True
            if self._count == 0:
                self._empty.set()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait, after `close`, until all have left. False if some are still there after `timeout_seconds`."""
        return self._empty.wait(timeout_seconds)

    @property
    def count(self) -> int:
        """How many are in."""
        return self._count

"""How far the reader of a request's responses may fall behind the model that makes them."""

from __future__ import annotations

import threading

__all__ = ["Flow"]

_MOST_UNREAD = 64


class Flow:
    """Holds up a model that answers one request many times, until its reader has caught up or has gone.

    Args:
        most: how many responses may be unread.
    """

    __slots__ = ("_ended", "_most", "_room", "_unread")

    def __init__(self, most: int = _MOST_UNREAD) -> None:
        self._most = most
        self._unread = 0
        self._ended = False
        self._room = threading.Condition()

    def wait(self) -> None:
        """Wait for room for one more response, and take it. On the thread that makes the responses."""
        with self._room:
            while self._unread >= self._most and not self._ended:
                self._room.wait()
            self._unread += 1

    def read(self) -> None:
        """Say that one response has been read."""
        with self._room:
            self._unread -= 1
            self._room.notify()

    def end(self) -> None:
        """Say that nobody reads any more: nothing is held up from now on. Idempotent."""
        with self._room:
            self._ended = True
            self._room.notify_all()

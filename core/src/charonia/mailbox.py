"""The one way from a thread into an event loop.

Responses are made on instance threads and awaited on event loops. Each loop has one mailbox; however many messages are
posted before the loop looks, it is woken once.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Mailbox"]


class Mailbox:
    """Messages for one event loop, from any thread, delivered in the order of posting.

    Nobody needs to close it: a loop that is closed drops what is still posted, since no one is left to read it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._messages: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._lock = threading.Lock()  # guards `_woken`
        self._woken = False

    def post(self, receiver: Callable[[Any], object], message: object) -> None:
        """Have `receiver(message)` called on the loop's thread. Any thread; never blocks."""
        self._messages.append((receiver, message))
        with self._lock:
            if self._woken:
                return
            self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is closed: its readers are gone
            self._messages.clear()

    def _deliver(self) -> None:
        with self._lock:
            self._woken = False
        messages = self._messages
        while messages:
            receiver, message = messages.popleft()
            receiver(message)

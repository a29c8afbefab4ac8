"""The one way from a thread into an event loop.

Responses are made on instance threads and awaited on event loops. Each loop has one mailbox; however many messages are
posted before the loop looks, it is woken once.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Mailbox", "Mailboxes", "Wakeups"]

_thread = threading.local()  # `wakeups`: those that the thread itself decides about


class Wakeups:
    """The wake-ups of event loops that one thread owes, while it holds them back. Made on that thread, and used only there.

    Each wake-up makes two threads compete for the interpreter, which costs more than a small model's execution does. A thread
    that makes many responses in quick succession can post them all and wake each loop once.

    Attributes:
        held: whether posts from this thread wait for `send`.
    """

    def __init__(self) -> None:
        self.held = False
        self._mailboxes: set[Mailbox] = set()
        _thread.wakeups = self

    def owe(self, mailbox: Mailbox) -> None:
        """Take note that a mailbox has to be woken."""
        self._mailboxes.add(mailbox)

    def send(self) -> None:
        """Wake every loop that is owed a wake-up."""
        for mailbox in self._mailboxes:
            mailbox.wake()
        self._mailboxes.clear()


class Mailbox:
    """Messages for one event loop, from any thread, delivered in the order of posting.

    Nobody needs to close it: a loop that is closed drops what is still posted, since no one is left to read it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # the mailbox must not keep its own key alive
        self._messages: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._lock = threading.Lock()  # guards `_woken`
        self._woken = False

    def post(self, receiver: Callable[[Any], object], message: object) -> None:
        """Have `receiver(message)` called on the loop's thread. Any thread; never blocks."""
        self._messages.append((receiver, message))
        wakeups: Wakeups | None = getattr(_thread, "wakeups", None)
        if wakeups is not None and wakeups.held:
            wakeups.owe(self)
        else:
            self.wake()

    def wake(self) -> None:
        """Have the loop look at what was posted. Any thread; never blocks."""
        with self._lock:
            if self._woken:
                return
            self._woken = True
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._deliver)
                return
        except RuntimeError:  # the loop is closed
            pass
        with self._lock:
            self._woken = False  # so that later messages come here, too, and are not kept
        self._messages.clear()  # its readers are gone

    def _deliver(self) -> None:
        with self._lock:
            self._woken = False
        messages = self._messages
        left = len(messages)  # what comes meanwhile wakes the loop anew, so that it gets round to everything else
        try:
            while left:
                left -= 1
                receiver, message = messages.popleft()
                receiver(message)
        finally:
            if left:
                # A receiver raised, which its loop reports; the others' messages are not to wait for the next post.
                asyncio.get_running_loop().call_soon(self._deliver)


class Mailboxes:
    """The mailbox of each event loop, made when it is first asked for and gone with its loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_of_loop`
        self._of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = weakref.WeakKeyDictionary()

    def of(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        """Give the loop's mailbox."""
        with self._lock:
            mailbox = self._of_loop.get(loop)
            if mailbox is None:
                mailbox = self._of_loop[loop] = Mailbox(loop)
            return mailbox

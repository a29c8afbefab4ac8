"""The one way from a thread into an event loop.

Responses are made on instance threads and awaited on event loops. Each loop has one mailbox; however many messages are
posted before the loop looks, it is woken once.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Mailbox", "Mailboxes", "Sleeper", "Wakeups"]

_LOOK_SECONDS = 0.01
"""A loop to which somebody posts looks that often whether there is something of which it was not told yet."""

_thread = threading.local()  # `wakeups`: those that the thread itself decides about


class Sleeper(Protocol):
    """What has to be woken to see what was put there for it: a mailbox, or the other end of a line to another process."""

    def wake(self) -> None:
        """Have it look. Never blocks for long."""


class Wakeups:
    """The wake-ups that one thread owes, while it holds them back. Made on that thread, and used only there.

    Each wake-up makes two threads compete for the interpreter, which costs more than a small model's execution does. A thread
    that makes many responses in quick succession can post them all and wake each loop once; so can one that has much to say to
    another process.

    Attributes:
        held: whether what this thread puts somewhere waits for `send`.
        owed: who has to be woken.
    """

    def __init__(self) -> None:
        self.held = False
        self.owed: set[Sleeper] = set()
        _thread.wakeups = self

    @classmethod
    def of_this_thread(cls) -> Wakeups:
        """Give those of the calling thread, made now where it has none."""
        wakeups: Wakeups | None = getattr(_thread, "wakeups", None)
        return cls() if wakeups is None else wakeups

    @staticmethod
    def later(sleeper: Sleeper) -> bool:
        """Take note that a sleeper has to be woken, if the calling thread holds its wake-ups back. False if it does not."""
        wakeups: Wakeups | None = getattr(_thread, "wakeups", None)
        if wakeups is None or not wakeups.held:
            return False
        wakeups.owed.add(sleeper)
        return True

    def send(self) -> None:
        """Wake everybody who is owed a wake-up."""
        while self.owed:
            self.owed.pop().wake()


class Mailbox:
    """Messages for one event loop, from any thread, delivered in the order of posting.

    A thread that holds its wake-ups back may be busy with the next thing for longer than it thought. So as long as something is
    posted again and again, the loop looks by itself from time to time; where it does not, it is woken in any case.

    Nobody needs to close it: a loop that is closed drops what is still posted, since no one is left to read it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # the mailbox must not keep its own key alive
        self._messages: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._context = Context()  # not that of whoever posts: it would live on in what the loop has to do later
        self._lock = threading.Lock()  # guards `_woken`
        self._woken = False
        self._looks = False  # whether the loop does so by itself; turned off before it looks the last time
        self._delivered = False  # since the last look

    def post(self, receiver: Callable[[Any], object], message: object) -> None:
        """Have `receiver(message)` called on the loop's thread. Any thread; never blocks."""
        self._messages.append((receiver, message))
        if not (self._looks and Wakeups.later(self)):
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
                loop.call_soon_threadsafe(self._deliver, context=self._context)
                return
        except RuntimeError:  # the loop is closed
            pass
        with self._lock:
            self._woken = False  # so that later messages come here, too, and are not kept
        self._messages.clear()  # its readers are gone

    def _deliver(self) -> None:
        with self._lock:
            self._woken = False
        self._delivered = True
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
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

    def _look(self) -> None:
        """Deliver what the loop was not told of, and look again later, if anything has come lately."""
        self._looks = self._delivered
        self._delivered = False
        if self._looks:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
        if self._messages:
            self._deliver()


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

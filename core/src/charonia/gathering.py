"""A thread that takes what others give it, in groups, so that whoever gives does not wait, and wakes nobody most of the time."""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gathering"]

Item = TypeVar("Item")

_SECONDS = 0.1


class Gathering(Generic[Item]):
    """Takes items from any thread, and hands them over in their order, in groups, on a thread of its own.

    The thread starts with the first item, and is joined by `close`. To wake a thread costs more than to write down what it is
    woken for: while items come, it sleeps between two groups.

    Args:
        name: the thread's name.
        take: takes a group. It must not raise.
        seconds: for how long is gathered at most.
        enough: how many items are handed over sooner, and at most at once.
        most: how many may wait; there is no room for those beyond.

    Attributes:
        refused: for how many there was no room.
    """

    def __init__(
        self,
        name: str,
        take: Callable[[list[Item]], None],
        *,
        seconds: float = _SECONDS,
        enough: int = sys.maxsize,
        most: int = sys.maxsize,
    ) -> None:
        self.refused = 0
        self._name = name
        self._take = take
        self._seconds = seconds
        self._enough = enough
        self._most = most
        self._items: deque[Item] = deque()
        self._asleep = True  # whether the thread has to be woken for the next item; also before it has started
        self._awake = threading.Event()
        self._hurry = threading.Event()
        self._closed = False
        self._lock = threading.Lock()  # guards `refused`, `_thread`, and the change of `_asleep` to False
        self._thread: threading.Thread | None = None

    def put(self, item: Item) -> None:
        """Hand an item over, soon. Dropped if there is no room for it, or once this is closed."""
        if len(self._items) >= self._most:
            self._refuse()
            return
        self._items.append(item)
        if self._asleep:
            self._wake()
        elif len(self._items) >= self._enough and not self._hurry.is_set():
            self._hurry.set()

    def _refuse(self) -> None:
        with self._lock:
            self.refused += 1

    def _wake(self) -> None:
        with self._lock:
            if not self._asleep or self._closed:
                return
            self._asleep = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._awake.set()

    def _run(self) -> None:
        while not self._closed:
            self._awake.wait()
            self._awake.clear()
            while self._hand_over() and not self._closed:
                if len(self._items) < self._enough:
                    self._hurry.wait(self._seconds)
                self._hurry.clear()
            self._asleep = True
            if self._items:  # they came before whoever brought them could see that
                self._wake()
        while self._hand_over():
            pass

    def _hand_over(self) -> bool:
        group = [self._items.popleft() for _ in range(min(len(self._items), self._enough))]
        if group:
            self._take(group)
        return bool(group)

    def close(self, seconds: float | None = None) -> None:
        """Hand over what is left, and join the thread. Idempotent.

        Args:
            seconds: for how long is waited for that at most; for any time if not given. What is left then, the thread hands
                over when it can.
        """
        with self._lock:
            self._closed = True
        if self._thread is not None:
            self._awake.set()
            self._hurry.set()
            self._thread.join(seconds)

"""Seeing to it that what a thread holds back does not wait for long for what that thread does next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Patience"]

_LOOK_SECONDS = 0.01


class Patience:
    """Sends what a thread holds back where that thread is busy with one thing for some time.

    Args:
        send: sends what is held back; it is called on whichever thread is in `watch`.
    """

    def __init__(self, send: Callable[[], object]) -> None:
        self._send = send
        self._begun = 0
        self._watched = False
        self._wanted = threading.Event()

    def begin(self) -> None:
        """The thread begins with something, and holds something back. Cheap where that has been so a moment ago, too."""
        self._begun += 1
        if not self._watched:
            self._watched = True
            self._wanted.set()

    def watch(self) -> NoReturn:
        """Look from time to time, as long as there is something to look after."""
        pause = threading.Event()
        while True:
            self._wanted.wait()
            self._wanted.clear()
            seen = -1
            while seen != self._begun:
                seen = self._begun
                pause.wait(_LOOK_SECONDS)
            self._watched = False  # before it sends: whatever is held back later is watched anew
            self._send()

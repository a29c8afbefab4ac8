"""Asking a model whether it is ready, which its own code tells, and which may take for ever."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Readiness", "all_confirmed"]

_LIMIT_SECONDS = 5.0
"""As in the reference: who has not said by then that it is ready, is not."""


class Readiness:
    """Asks one instance, on a thread of its own. Whoever wants to know while it is asked waits for the same answer.

    Args:
        ask: asks; it must not raise.
        name: the thread's name.
    """

    def __init__(self, ask: Callable[[], bool], name: str) -> None:
        self._ask = ask
        self._name = name
        self._lock = threading.Lock()  # guards all below
        self._thread: threading.Thread | None = None
        self._until = 0.0
        self._answer = False

    def begin(self) -> None:
        """Ask, unless it is being asked."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._answer = False
            self._until = time.monotonic() + _LIMIT_SECONDS
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        self._answer = self._ask()

    def confirmed(self) -> bool:
        """Wait for the answer, until the time is over. False if it was not given by then."""
        with self._lock:
            thread, until = self._thread, self._until
        if thread is None:
            return False
        thread.join(max(0.0, until - time.monotonic()))
        return self._answer and not thread.is_alive()

    def close(self) -> None:
        """Let the thread end, if it does within the time."""
        self.confirmed()


def all_confirmed(instances: Iterable[Readiness]) -> bool:
    """Ask several instances side by side, and tell whether all of them are ready."""
    asked = list(instances)
    for readiness in asked:
        readiness.begin()
    told = [
        readiness.confirmed() for readiness in asked
    ]  # all of them, so that nobody is still being asked the next time
    return all(told)

"""Keeping a model away from event loops for a while that has held one up.

The core lets an event loop execute what has been quick lately, on average. But the code of a model's author may be quick a
thousand times and then compute for a second, by what is in a request. Everybody has waited for that execution; the next one
like it shall come on the instance's own thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Probation"]

_SLOW_NS = 5_000_000
"""An execution that computes for longer holds everybody up so that they notice."""

_AWAY_NS = 1_000_000_000
"""For how long a model is kept away that just took so long. It grows with the square: a second's execution costs eleven hours."""


class Probation:
    """Whether event loops may execute one instance. Used by one thread at a time, as the instance is.

    Args:
        clock_ns: tells the time, in nanoseconds.
        computed_ns: tells for how long the thread that asks has computed, in nanoseconds. What else a machine has to do lengthens
            an execution, and is not the model's fault.
    """

    __slots__ = ("_began_ns", "_clock_ns", "_computed_ns", "_had_computed_ns", "_tried", "_until_ns")

    def __init__(
        self, clock_ns: Callable[[], int] = time.monotonic_ns, computed_ns: Callable[[], int] = time.thread_time_ns
    ) -> None:
        self._clock_ns = clock_ns
        self._computed_ns = computed_ns
        self._began_ns = self._had_computed_ns = 0
        self._until_ns = 0  # 0 as long as nothing is held against it
        self._tried = False

    def lend(self) -> bool:
        """Tell whether an event loop may execute the next batch. Asked once the model has proved to be quick."""
        self._tried = True
        if self._until_ns and self._clock_ns() >= self._until_ns:
            self._until_ns = 0
        return not self._until_ns

    def begin(self) -> None:
        """Say that an execution begins on this thread."""
        self._began_ns = self._clock_ns()
        self._had_computed_ns = self._computed_ns()

    def end(self) -> tuple[int, int]:
        """Say that it has ended. One that was slow counts wherever it was, unless nothing was expected of the model yet.

        Returns:
            For how long it has computed, and for how long the model is kept away for that, in nanoseconds; 0 if it is not.
        """
        now_ns = self._clock_ns()
        if now_ns - self._began_ns <= _SLOW_NS or not self._tried:  # reading a thread's own time takes long
            return 0, 0
        spent_ns = self._computed_ns() - self._had_computed_ns
        if spent_ns <= _SLOW_NS:
            return spent_ns, 0
        away_ns = spent_ns * spent_ns * _AWAY_NS // (_SLOW_NS * _SLOW_NS)
        self._until_ns = max(self._until_ns, now_ns + away_ns)
        return spent_ns, away_ns

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
"""An execution that takes longer holds everybody up so that they notice. The machine itself does that to quick ones, too, when
it has other work to do, but seldom."""

_AWAY_NS = 1_000_000_000
"""For how long a model is kept away that just took so long. It grows with the square: a second's execution costs eleven hours."""


class Probation:
    """Whether event loops may execute one instance. Used by one thread at a time, as the instance is.

    Args:
        clock_ns: tells the time, in nanoseconds; the same one by which executions are noted.
    """

    __slots__ = ("_clock_ns", "_lent", "_until_ns")

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._until_ns = 0  # 0 as long as nothing is held against it
        self._lent = False

    def lend(self) -> bool:
        """Tell whether an event loop may execute the next batch. If so, it is taken to do that."""
        if self._until_ns and self._clock_ns() >= self._until_ns:
            self._until_ns = 0
        self._lent = not self._until_ns
        return self._lent

    def note(self, begun_ns: int, ended_ns: int) -> int:
        """Take note of an execution, wherever it was: one that was slow counts for an event loop, and for who is kept away.

        At first a model is on its own thread, where the first execution of all may take as long as it likes.

        Returns:
            For how long the model is kept away because of it, in nanoseconds; 0 if it is not.
        """
        lent, self._lent = self._lent, False
        spent_ns = ended_ns - begun_ns
        if spent_ns <= _SLOW_NS or not (lent or self._until_ns):
            return 0
        away_ns = spent_ns * spent_ns * _AWAY_NS // (_SLOW_NS * _SLOW_NS)
        self._until_ns = max(self._until_ns, ended_ns + away_ns)
        return away_ns

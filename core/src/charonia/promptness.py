"""Whether a model answers so fast that whoever asks may as well wait for it.

Passing a request to another thread and its response back costs some fifty microseconds, several times what a small model
takes. Where a model's executions have proved to be quicker than that, an event loop may execute them itself.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Promptness", "size_of"]

_QUICK_NS = 60_000
"""An execution of less than this is quick: handing it to another thread costs as much."""

_STALL_NS = 1_000_000
"""An execution of more than this would be felt by everybody else on an event loop."""

_PROVEN = 32
_CAP = 4 * _PROVEN
"""Trust grows by one with each quick execution, up to the cap; whoever is slow now and then keeps it, if rarely enough."""


class Promptness:
    """The trust in the executions of one model version. Any thread may note; a note that is lost in a race does no harm.

    Trust reaches as far as the largest inputs that proved to be quick.
    """

    __slots__ = ("_size", "_trust")

    def __init__(self) -> None:
        self._trust = 0
        self._size = 0

    def note(self, spent_ns: int, size: int) -> None:
        """Take note of an execution.

        Args:
            spent_ns: how long it took, in nanoseconds: the processor's time where that is all that it takes.
            size: the size of its inputs, in bytes.
        """
        if spent_ns < _QUICK_NS:
            self._trust = min(self._trust + 1, _CAP)
            if self._size < size < sys.maxsize:
                self._size = size
        elif spent_ns < _STALL_NS:
            self._trust = max(self._trust - _PROVEN, 0)
        else:
            self._trust = self._size = 0

    @property
    def proven(self) -> bool:
        """Whether executions have been quick, and the next one can be expected to be."""
        return self._trust >= _PROVEN

    def covers(self, size: int) -> bool:
        """Tell whether an execution of inputs of `size` bytes can be expected to be quick."""
        return size <= self._size and self._trust >= _PROVEN


def size_of(inputs: Mapping[str, object]) -> int:
    """Tell the size of a request's inputs in bytes; more than any other where it cannot be told at a glance, as of BYTES."""
    size = 0
    for tensor in inputs.values():
        if not isinstance(tensor, np.ndarray) or tensor.dtype.hasobject:
            return sys.maxsize
        size += tensor.nbytes
    return size

"""Whether a model answers so fast that whoever asks may as well wait for it.

Passing a request to another thread and its response back costs some fifty microseconds, several times what a small model
takes. Where a model's executions have proved to be quicker than that, an event loop may execute them itself.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Promptness", "size_of"]

_QUICK_NS = 100_000
"""Executions that take less than this on average are quick: handing them to another thread costs about as much."""

_UNKNOWN_NS = 1_000_000
"""What is thought of executions before any has been seen, and of those that take longer. To prove otherwise takes some 75 of
them; so long, a single one says more about what else the machine had to do than about the model."""

_STALL_NS = 50_000_000
"""An execution that takes longer has waited for something, whatever was expected of it, and event loops have waited with it."""

_WEIGHT = 32
"""The last execution counts by one part in so many."""


class Promptness:
    """What the executions of one model version have taken lately, on average.

    Any thread may note; a note that is lost in a race does no harm. The average reaches as far as the largest inputs that
    proved to be quick. Some executions that are slow end the trust, unless they are so rare that the average hardly moves; one
    that others feel ends it at once, and it has to be earned anew.
    """

    __slots__ = ("_mean_ns", "_size")

    def __init__(self) -> None:
        self._mean_ns: float = _UNKNOWN_NS
        self._size = 0

    def note(self, spent_ns: int, inputs: Sequence[Mapping[str, object]] = ()) -> None:
        """Take note of an execution.

        Args:
            spent_ns: how long it took, in nanoseconds.
            inputs: its requests' inputs, if they may be larger than those of which it is known already that they are quick.
        """
        if spent_ns > _STALL_NS:
            self._mean_ns = _UNKNOWN_NS
        self._mean_ns += (min(spent_ns, _UNKNOWN_NS) - self._mean_ns) / _WEIGHT
        if inputs and spent_ns < _QUICK_NS:
            size = sum(map(size_of, inputs))
            if self._size < size < sys.maxsize:
                self._size = size

    @property
    def proven(self) -> bool:
        """Whether executions have been quick, and the next one can be expected to be."""
        return self._mean_ns < _QUICK_NS

    def covers(self, size: int) -> bool:
        """Tell whether an execution of inputs of `size` bytes can be expected to be quick."""
        return size <= self._size and self._mean_ns < _QUICK_NS


def size_of(inputs: Mapping[str, object]) -> int:
    """Tell the size of a request's inputs in bytes; more than any other where it cannot be told at a glance, as of BYTES."""
    size = 0
    for tensor in inputs.values():
        if not isinstance(tensor, np.ndarray) or tensor.dtype.hasobject:
            return sys.maxsize
        size += tensor.nbytes
    return size

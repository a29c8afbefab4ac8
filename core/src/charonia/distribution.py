"""How durations are distributed: counted into slots whose bounds are powers of two and their quarters.

Counting one takes a search among some hundred bounds, so that it can be done for every request; quantiles and buckets are
worked out when somebody asks, and are right to an eighth.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from operator import add
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SLOTS", "Buckets", "Distribution", "slot_of"]

_FIRST_BITS = 11
_LAST_BITS = 40
SLOTS = (_LAST_BITS - _FIRST_BITS + 1) * 4 + 2
"""How many slots there are: the first is for less than 1.024 us, the last for 18 minutes and more."""


def _lower_bound(slot: int) -> int:
    octave, quarter = divmod(slot - 1, 4)
    return (4 + quarter) << (octave + _FIRST_BITS - 3) if slot else 0


_LOWER_BOUNDS = tuple(_lower_bound(slot) for slot in range(SLOTS))

slot_of: Callable[[int], int] = partial(bisect_right, _LOWER_BOUNDS[1:])
"""Gives the slot of a duration in nanoseconds."""


@dataclass(frozen=True)
class Distribution:
    """Durations that were counted.

    Attributes:
        counts: how many lie in each slot; `SLOTS` numbers.
        ns: all of them together, in nanoseconds.
    """

    counts: Sequence[int] = (0,) * SLOTS
    ns: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """Tell below which duration, in nanoseconds, this share of all lies; 0.5 asks for the median. None if there are none."""
        rank = share * self.count
        below = 0
        for slot, count in enumerate(self.counts):
            if count and below + count >= rank:
                low = _LOWER_BOUNDS[slot]
                high = _LOWER_BOUNDS[min(slot + 1, SLOTS - 1)]
                return low + (high - low) * max(rank - below, 0) / count
            below += count
        return None

    def below(self, powers: Sequence[int]) -> list[int]:
        """Count how many are shorter than 2**power nanoseconds, for each of the powers, which are 10 to 40."""
        running = list(accumulate(self.counts))
        return [running[(power - _FIRST_BITS + 1) * 4] for power in powers]

    def since(self, earlier: Distribution) -> Distribution:
        """Give what was counted after an earlier moment of the same distribution."""
        counts = [now - then for now, then in zip(self.counts, earlier.counts, strict=True)]
        return Distribution(counts, self.ns - earlier.ns)

    def __add__(self, other: Distribution) -> Distribution:
        return Distribution(tuple(map(add, self.counts, other.counts)), self.ns + other.ns)


@dataclass(frozen=True)
class Buckets:
    """Durations that were counted into buckets of somebody's choice.

    Attributes:
        bounds_ms: the upper bounds of the buckets in milliseconds, ascending, without the infinite one.
        counts: how many lie in each bucket, and in the infinite one; they are not added up.
        ns: all of them together, in nanoseconds.
    """

    bounds_ms: Sequence[float] = ()
    counts: Sequence[int] = (0,)
    ns: int = 0

    def __add__(self, other: Buckets) -> Buckets:
        """Add what has the same bounds; what had others cannot be sorted into these, and is left out."""
        if self.bounds_ms != other.bounds_ms:
            return other
        return Buckets(self.bounds_ms, tuple(map(add, self.counts, other.counts)), self.ns + other.ns)

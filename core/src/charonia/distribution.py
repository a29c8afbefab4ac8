"""How durations are distributed: counted into slots whose bounds are powers of two and their quarters.

Counting one takes a shift and three additions, so that it can be done for every request; quantiles and buckets are worked out
when somebody asks, and are right to an eighth.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SLOTS", "Distribution", "slot_of"]

_FIRST_BITS = 11
_LAST_BITS = 40
SLOTS = (_LAST_BITS - _FIRST_BITS + 1) * 4 + 2
"""How many slots there are: the first is for less than 1.024 us, the last for 18 minutes and more."""


def slot_of(ns: int) -> int:
    """Give the slot of a duration in nanoseconds."""
    bits = ns.bit_length()
    if bits < _FIRST_BITS:
        return 0
    return bits * 4 + (ns >> (bits - 3)) - 47 if bits <= _LAST_BITS else SLOTS - 1


def _lower_bound(slot: int) -> int:
    octave, quarter = divmod(slot - 1, 4)
    return (4 + quarter) << (octave + _FIRST_BITS - 3) if slot else 0


_LOWER_BOUNDS = tuple(_lower_bound(slot) for slot in range(SLOTS))


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

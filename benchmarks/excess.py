"""By how much something is greater where it was measured in pairs, and how certain that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Excess", "excess", "excess_at"]

_CERTAINTY = 1.96
"""So many standard deviations to both sides of the middle are 95 % of a normal distribution."""
_HALVINGS = 60
"""So often an interval is halved until it is as narrow as numbers can be told from each other."""
_STEEPEST = 10.0
"""The steepest slope that is looked for."""
_NOTHING = 1e-4
"""So much less than what is asked about is nothing, as a share of its square."""


@dataclass(frozen=True)
class Excess:
    """By how much something is greater, in percent.

    Attributes:
        percent: what is typical.
        low, high: between these that lies in 95 of 100 cases.
    """

    percent: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.percent:+.2f} % ({self.low:+.2f} to {self.high:+.2f})"


def excess(ratios: Sequence[float]) -> Excess:
    """Tell by how much something is typically greater, by ratios of pairs.

    That is the median of the means of any two of them, by Hodges and Lehmann, with the interval of Wilcoxon's test. Neither asks
    for a normal distribution, and a few pairs during which the machine was busy with something else hardly count.
    """
    return Excess(*(100 * math.expm1(value) for value in _middle(np.log(ratios))))


def excess_at(ratios: Sequence[float], beside: Sequence[float], at: float) -> Excess:
    """Do as `excess` where something else differed within the pairs, too, and tell the excess at which that differs by so much.

    How the one goes with the other is found by ranks as well: by Jaeckel's regression, which is to lines what the method of
    Hodges and Lehmann is to numbers. The further that is from what the pairs were like, the wider the interval. Where they
    hardly differ in it, nothing is known of it, and it is left out.

    Args:
        ratios: of pairs.
        beside: by how much that differed in each of them.
        at: by how much it shall differ.
    """
    logarithms, places = np.log(ratios), np.asarray(beside, float)
    spread = float(np.var(places))
    if spread <= _NOTHING * at**2:
        return excess(ratios)
    levelled = logarithms + _slope(logarithms, places) * (at - places)
    middle, low, high = _middle(levelled)
    wider = math.sqrt(1 + (at - float(np.mean(places))) ** 2 / spread)
    ends = (middle, middle - (middle - low) * wider, middle + (high - middle) * wider)
    return Excess(*(100 * math.expm1(value) for value in ends))


def _middle(numbers: NDArray[np.float64]) -> tuple[float, float, float]:
    """Give the middle, and the two ends of its interval."""
    rising = np.sort(numbers)
    count = len(rising)
    means = count * (count + 1) // 2
    outside = max(0, int(means / 2 - _CERTAINTY * math.sqrt(count * (count + 1) * (2 * count + 1) / 24)))
    middle = (_mean_at(rising, (means - 1) // 2) + _mean_at(rising, means // 2)) / 2
    return middle, _mean_at(rising, outside), _mean_at(rising, means - 1 - outside)


def _mean_at(rising: NDArray[np.float64], place: int) -> float:
    """Give one of the means of any two numbers, twice the same included, by its place among them, without making them all."""
    own = np.arange(len(rising))

    def is_below(mean: float) -> bool:
        """Tell whether a value is below the wanted one, that is whether no more means than its place are as small or smaller."""
        partners = np.searchsorted(rising, 2 * mean - rising, side="right") - own
        return int(np.maximum(partners, 0).sum()) <= place

    return _turn(is_below, float(rising[0]), float(rising[-1]))


def _slope(heights: NDArray[np.float64], places: NDArray[np.float64]) -> float:
    """Give the slope at which what is left of the heights goes with the places no more, by its ranks."""
    weights = places - np.mean(places)

    def is_too_flat(slope: float) -> bool:
        ranks = np.argsort(np.argsort(heights - slope * places))
        return float(weights @ ranks) > 0

    return _turn(is_too_flat, -_STEEPEST, _STEEPEST)


def _turn(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Find where something turns from true to false."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return high

"""By how much something is greater where it was measured in pairs, and how certain that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Excess", "excess"]

_CERTAINTY = 1.96
"""So many standard deviations to both sides of the middle are 95 % of a normal distribution."""


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


def excess(ratios: Sequence[float]) -> Excess:
    """Tell by how much something is typically greater, by ratios of pairs.

    That is the median of the means of any two of them, by Hodges and Lehmann, with the interval of Wilcoxon's test. Neither asks
    for a normal distribution, and a few pairs during which the machine was busy with something else hardly count.
    """
    logarithms = np.log(ratios)
    first, second = np.triu_indices(len(logarithms))
    means = np.sort((logarithms[first] + logarithms[second]) / 2)
    count = len(logarithms)
    spread = _CERTAINTY * math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    outside = max(0, int(len(means) / 2 - spread))
    low, high = means[outside], means[-1 - outside]
    return Excess(*(100 * math.expm1(value) for value in (float(np.median(means)), low, high)))

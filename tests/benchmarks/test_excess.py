"""What is told of differences that were measured in pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.excess import excess, excess_at


def test_what_is_equal_has_no_excess():
    """Where no pair differs, nothing is more, and that is certain."""
    found = excess([1.0] * 20)
    assert (found.percent, found.low, found.high) == (0, 0, 0)
    assert str(found) == "+0.00 % (+0.00 to +0.00)"


def test_a_few_pairs_that_were_disturbed_hardly_count():
    """Two of thirty pairs that are many times off leave the rest's excess in the interval, and near the middle."""
    ratios = [1.018, 1.02, 1.022] * 10
    ratios[3], ratios[20] = 40, 0.02
    found = excess(ratios)
    assert found.percent == pytest.approx(2, abs=0.1)
    assert found.low < 2 < found.high
    assert found.high - found.low < 0.5


def test_the_interval_is_that_of_wilcoxons_test():
    """Of the 55 means of two among ten numbers, eight lie outside on each side."""
    numbers = range(1, 11)
    means = sorted((one + other) / 2 for one in numbers for other in numbers if one <= other)
    found = excess([math.exp(number) for number in numbers])
    assert found.low == pytest.approx(100 * math.expm1(means[8]))
    assert found.high == pytest.approx(100 * math.expm1(means[-9]))
    assert found.percent == pytest.approx(100 * math.expm1(5.5))


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_the_other_way_round_it_is_the_inverse(ratios):
    """The share by which the one is greater is the one by which the other is smaller."""
    found, inverse = excess(ratios), excess([1 / ratio for ratio in ratios])
    assert found.low <= found.percent <= found.high
    assert 1 + inverse.percent / 100 == pytest.approx(1 / (1 + found.percent / 100))
    assert 1 + inverse.low / 100 == pytest.approx(1 / (1 + found.high / 100))


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_all_means_of_two_count(ratios):
    """What is typical, and the ends of the interval, are the means that a list of all of them has in these places."""
    logarithms = np.log(ratios)
    means = np.sort([(one + other) / 2 for number, one in enumerate(logarithms) for other in logarithms[number:]])
    found = excess(ratios)
    assert math.log1p(found.percent / 100) == pytest.approx(np.median(means), abs=1e-9)
    for end in (found.low, found.high):
        assert np.min(np.abs(means - math.log1p(end / 100))) == pytest.approx(0, abs=1e-9)


def pairs_beside(slope: float, excess: float, *, disturbed: bool = False) -> tuple[list[float], list[float]]:
    """Make ratios of three hundred pairs, and what differed beside them, which goes with them by a slope."""
    random = np.random.default_rng(7)
    beside = np.where(random.random(300) < 0.1, random.normal(0, 0.5, 300), 0)
    logarithms = math.log1p(excess) + slope * beside + random.normal(0, 0.01, 300)
    if disturbed:
        logarithms[::60], logarithms[30::60] = 2, -2
    return np.exp(logarithms).tolist(), beside.tolist()


@pytest.mark.parametrize("disturbed", [False, True])
def test_what_differs_beside_it_is_taken_to_where_it_is_asked_for(disturbed):
    """Its part in the pairs cancels out, and is there to the full where the excess is asked for at some of it."""
    ratios, beside = pairs_beside(0.4, 0.02, disturbed=disturbed)
    without, with_half = excess_at(ratios, beside, 0), excess_at(ratios, beside, 0.5)
    assert without.low < 2 < without.high
    assert with_half.low < 100 * (1.02 * math.exp(0.2) - 1) < with_half.high


def test_far_from_the_pairs_less_is_certain():
    """The interval is that of the pairs where they are, and wider and wider elsewhere."""
    ratios, beside = pairs_beside(0.4, 0.02)
    widths = [found.high - found.low for found in (excess_at(ratios, beside, at) for at in (0, 0.5, 5))]
    assert widths == sorted(widths)
    assert widths[2] > 5 * widths[0]


def test_what_never_differs_beside_it_is_left_out():
    """Where nothing is known of it, the pairs are taken as they are."""
    ratios = [1.01, 1.02, 1.04]
    assert excess_at(ratios, [0.0, 0.0, 0.0], 0.3) == excess(ratios)

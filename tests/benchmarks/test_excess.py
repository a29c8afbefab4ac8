"""What is told of differences that were measured in pairs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.excess import excess


def test_what_is_equal_has_no_excess():
    """Where no pair differs, nothing is more, and that is certain."""
    found = excess([1.0] * 20)
    assert (found.percent, found.low, found.high) == (0, 0, 0)


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

"""Distributions of durations."""

from __future__ import annotations

from charonia.distribution import SLOTS, Distribution, slot_of
from hypothesis import given
from hypothesis import strategies as st

durations = st.integers(min_value=0, max_value=2**45)


def counted(values):
    """Count durations."""
    counts = [0] * SLOTS
    for value in values:
        counts[slot_of(value)] += 1
    return Distribution(tuple(counts), sum(values))


@given(durations, durations)
def test_longer_durations_have_no_earlier_slots(one, other):
    """Slots ascend with the durations, and there is one for each."""
    assert 0 <= slot_of(min(one, other)) <= slot_of(max(one, other)) < SLOTS


@given(st.lists(st.integers(min_value=2_000, max_value=2**39), min_size=1), st.floats(min_value=0.01, max_value=1))
def test_a_quantile_is_near_the_real_one(values, share):
    """A quantile lies within a quarter of the duration that has this share of all below it."""
    rank = max(1, -int(-share * len(values) // 1))
    real = sorted(values)[rank - 1]
    told = counted(values).quantile(share)
    assert 0.75 * real <= told <= 1.25 * real + 1


@given(st.lists(durations), st.integers(min_value=10, max_value=40))
def test_buckets_count_what_is_shorter(values, power):
    """A bucket at a power of two has exactly the durations below it."""
    assert counted(values).below([power]) == [sum(value < 2**power for value in values)]


@given(st.lists(durations), st.lists(durations))
def test_the_difference_of_two_moments_is_what_came_between(before, after):
    """What a distribution gives since an earlier moment is what was counted after it."""
    assert counted(before + after).since(counted(before)) == Distribution(
        list(counted(after).counts), counted(after).ns
    )


def test_nothing_has_no_quantile():
    """There is no median of no durations."""
    assert Distribution().quantile(0.5) is None
    assert Distribution().count == 0

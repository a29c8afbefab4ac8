"""How long an ended process waits for its successor."""

from __future__ import annotations

from charonia_backend_custom.process.restart_pauses import RestartPauses
from hypothesis import given
from hypothesis import strategies as st


def test_pauses_grow_to_half_a_minute():
    """The first start is at once; then pauses double."""
    pauses = RestartPauses()
    assert [pauses.after(0) for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_minute_of_life_forgives_all():
    """A process that has lived for a minute is followed at once."""
    pauses = RestartPauses()
    assert [pauses.after(seconds) for seconds in (1, 1, 1, 60, 1)] == [0, 0.5, 1, 0, 0.5]


@given(st.lists(st.floats(0, 1000)))
def test_pauses_are_bounded(lives):
    """Whatever processes live to, no pause is negative or longer than half a minute."""
    pauses = RestartPauses()
    assert all(0 <= pauses.after(seconds) <= 30 for seconds in lives)

"""Keeping a model away from event loops that has held one up."""

from __future__ import annotations

from charonia_backend_custom.probation import Probation
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000
SECOND = 1000 * MS


class Instance:
    """An instance, and a clock that stands still but for its executions and pauses."""

    def __init__(self):
        self.now = 0
        self.probation = Probation(lambda: self.now)

    def execute(self, spent_ns):
        """Execute a batch, on an event loop if that may be. Gives whether it was, and for how long it is none any more."""
        lent = self.probation.lend()
        begun = self.now
        self.now += spent_ns
        return lent, self.probation.note(begun, self.now)


def test_quick_executions_change_nothing():
    """Five milliseconds are not too long."""
    instance = Instance()
    assert all(instance.execute(spent) == (True, 0) for spent in [1, 5 * MS] * 10)


def test_the_first_executions_may_take_long():
    """As long as no event loop has had the model, nobody is held up by what it computes once."""
    probation = Probation(lambda: 60 * SECOND)
    assert probation.note(0, 60 * SECOND) == 0
    assert probation.lend()


def test_a_slow_one_keeps_it_away_for_a_while():
    """For a second after five milliseconds, for a hundred after fifty; then it may come again."""
    instance = Instance()
    assert instance.execute(50 * MS) == (True, 100 * SECOND)
    instance.now += 100 * SECOND - 1
    assert not instance.probation.lend()
    instance.now += 1
    assert instance.probation.lend()


def test_slow_ones_meanwhile_keep_it_away_longer():
    """What it does on its own thread counts then, and a shorter time does not end a longer one."""
    instance = Instance()
    instance.execute(50 * MS)
    instance.now += 99 * SECOND
    assert instance.execute(10 * MS) == (False, 4 * SECOND)
    instance.now += 2 * SECOND
    assert not instance.probation.lend()
    instance.now += 2 * SECOND
    assert instance.probation.lend()


@given(
    st.lists(st.tuples(st.integers(0, 3 * SECOND), st.sampled_from([10_000, 4 * MS, 6 * MS, 20 * MS])), max_size=200)
)
def test_event_loops_hardly_wait_for_slow_ones(executions):
    """Whatever comes when: but for the last of them, slow executions take no more than a two hundredth of event loops' time."""
    instance = Instance()
    waited = [0]
    for pause, spent in executions:
        instance.now += pause
        lent, away = instance.execute(spent)
        if lent and away:
            assert sum(waited) <= instance.now / 200
            waited.append(spent)

"""Keeping a model away from event loops that has held one up."""

from __future__ import annotations

from charonia_backend_custom.probation import Probation
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000
SECOND = 1000 * MS


class Instance:
    """An instance, and clocks that stand still but for its executions and pauses."""

    def __init__(self):
        self.now = self.computed = 0
        self.probation = Probation(lambda: self.now, lambda: self.computed)

    def compute(self, spent_ns, *, waited_ns=0):
        """Execute a batch. Gives for how long no event loop may do so any more."""
        self.probation.begin()
        self.now += spent_ns + waited_ns
        self.computed += spent_ns
        _, away_ns = self.probation.end()
        return away_ns

    def lent(self):
        """Tell whether an event loop may execute it."""
        return self.probation.lend()


def test_quick_executions_change_nothing():
    """Five milliseconds are not too long."""
    instance = Instance()
    for spent in [1, 5 * MS] * 10:
        assert instance.lent()
        assert instance.compute(spent) == 0


def test_the_first_executions_may_take_long():
    """As long as nothing is expected of the model, nobody is held up by what it computes once."""
    instance = Instance()
    assert instance.compute(60 * SECOND) == 0
    assert instance.lent()


def test_what_the_machine_does_is_not_held_against_it():
    """An execution takes longer where the processor has other work, which is not the model's."""
    instance = Instance()
    instance.lent()
    assert instance.compute(5 * MS, waited_ns=SECOND) == 0
    assert instance.lent()


def test_a_slow_one_keeps_it_away_for_a_while():
    """For a second after five milliseconds, for a hundred after fifty; then it may come again."""
    instance = Instance()
    instance.lent()
    assert instance.compute(50 * MS) == 100 * SECOND
    instance.now += 100 * SECOND - 1
    assert not instance.lent()
    instance.now += 1
    assert instance.lent()


def test_slow_ones_meanwhile_keep_it_away_longer():
    """What it does on its own thread counts then, and a shorter time does not end a longer one."""
    instance = Instance()
    instance.lent()
    instance.compute(50 * MS)
    instance.now += 99 * SECOND
    assert instance.compute(10 * MS) == 4 * SECOND
    instance.now += 2 * SECOND
    assert not instance.lent()
    instance.now += 2 * SECOND
    assert instance.lent()


@given(
    st.lists(st.tuples(st.integers(0, 3 * SECOND), st.sampled_from([10_000, 4 * MS, 6 * MS, 20 * MS])), max_size=200)
)
def test_event_loops_hardly_wait_for_slow_ones(executions):
    """Whatever comes when: but for the last of them, slow executions take no more than a two hundredth of event loops' time."""
    instance = Instance()
    waited = [0]
    for pause, spent in executions:
        instance.now += pause
        lent = instance.lent()
        if instance.compute(spent) and lent:
            assert sum(waited) <= instance.now / 200
            waited.append(spent)

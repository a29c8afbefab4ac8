"""The ledger of the memory budget: never more than the budget, first come first served, the least recently used goes."""

from __future__ import annotations

import pytest
from charonia.residency import NoRoomError, Presence, Residence, ResidencyLedger, in_words
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule


def loaded(ledger, *residences):
    """Bring models in that have room."""
    for residence in residences:
        ledger.ask(residence)
        assert ledger.try_admit(residence)
        assert ledger.settle(residence, residence.byte_size)


def test_the_first_in_the_queue_gets_room_first():
    """A small model that would fit does not pass a large one that waits; whoever withdraws holds up nobody."""
    ledger = ResidencyLedger(10)
    a, large, small = Residence("a", 1, 6), Residence("large", 1, 8), Residence("small", 1, 1)
    loaded(ledger, a)
    ledger.ask(large)
    ledger.ask(small)
    assert not ledger.try_admit(large)
    assert not ledger.try_admit(small)
    assert ledger.lacks_room(large)
    assert not ledger.lacks_room(small)
    ledger.withdraw(large)
    assert ledger.try_admit(small)


def test_the_least_recently_used_goes():
    """Candidates come in the order of their last use; pinned ones are none."""
    ledger = ResidencyLedger(10)
    old, young, pinned = Residence("old", 1, 4), Residence("young", 1, 4), Residence("pinned", 1, 2, pinned=True)
    loaded(ledger, young, old, pinned)
    old.last_used_ns, young.last_used_ns, pinned.last_used_ns = 1, 2, 0
    assert ledger.candidates() == [old, young]


def test_nobody_goes_while_enough_leaves():
    """Room that is about to come is not made twice; it is there once its model is gone."""
    ledger = ResidencyLedger(10)
    old, young, wanted = Residence("old", 1, 5), Residence("young", 1, 5), Residence("wanted", 1, 5)
    loaded(ledger, old, young)
    ledger.ask(wanted)
    assert ledger.lacks_room(wanted)
    ledger.leave(old)
    assert not ledger.lacks_room(wanted)
    assert not ledger.try_admit(wanted)
    ledger.gone(old)
    assert ledger.try_admit(wanted)


def test_what_is_larger_than_the_budget_is_refused():
    """The message says how large, how much there is, and what to do; pinned models make less of it."""
    ledger = ResidencyLedger(10 << 20)
    with pytest.raises(NoRoomError) as refusal:
        ledger.ask(Residence("m", 1, 11 << 20))
    assert str(refusal.value) == (
        "model 'm' version 1 takes 11 MiB of memory, and the budget is 10 MiB: raise --memory-budget, or serve the model "
        "elsewhere"
    )
    loaded(ledger, Residence("pinned", 1, 4 << 20, pinned=True))
    with pytest.raises(NoRoomError, match="the budget is 10 MiB, of which pinned models take 4 MiB"):
        ledger.ask(Residence("m", 1, 7 << 20))


def test_a_model_that_takes_more_than_thought_leaves_and_asks_for_more():
    """Where the truth does not fit, the model goes, and is expected to take as much from then on."""
    ledger = ResidencyLedger(10)
    other, greedy = Residence("other", 1, 6), Residence("greedy", 1, 4)
    loaded(ledger, other)
    ledger.ask(greedy)
    assert ledger.try_admit(greedy)
    assert not ledger.settle(greedy, 5)
    assert (greedy.presence, greedy.byte_size, ledger.counted) == (Presence.LEAVING, 5, 10)
    ledger.gone(greedy)
    ledger.ask(greedy)
    assert ledger.lacks_room(greedy)


def test_a_state_cannot_be_skipped():
    """A model that is out of memory cannot leave it."""
    with pytest.raises(AssertionError, match="model 'm' version 1 cannot go from OUT to LEAVING"):
        ResidencyLedger(1).leave(Residence("m", 1, 1))


@pytest.mark.parametrize(
    ("byte_size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (20 << 20, "20 MiB"), (5 << 40, "5120 GiB")],
)
def test_sizes_are_told_in_words(byte_size, text):
    """A size is a number with a unit that people read."""
    assert in_words(byte_size) == text


class Machine(RuleBasedStateMachine):
    """Models ask, are admitted, turn out larger or smaller, fail, are used and go, in any order."""

    @initialize(budget=st.integers(1, 30), models=st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1))
    def begin(self, budget, models):
        self.ledger = ResidencyLedger(budget)
        self.all = [Residence(f"m{place}", 1, size, pinned=pinned) for place, (size, pinned) in enumerate(models)]
        self.queue = []
        self.now = 0

    def those(self, presence):
        return [residence for residence in self.all if residence.presence is presence]

    @rule(data=st.data())
    def ask(self, data):
        out = self.those(Presence.OUT)
        if not out:
            return
        residence = data.draw(st.sampled_from(out))
        try:
            self.ledger.ask(residence)
        except NoRoomError:
            pinned = sum(r.byte_size for r in self.all if r.pinned and r in self.ledger.holders())
            assert residence.byte_size + pinned > self.ledger.budget
            assert residence.presence is Presence.OUT
        else:
            self.queue.append(residence)

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def admit(self, data):
        residence = data.draw(st.sampled_from(self.queue))
        fits = self.ledger.counted + residence.byte_size <= self.ledger.budget
        assert self.ledger.try_admit(residence) == (residence is self.queue[0] and fits)
        if residence.presence is Presence.LOADING:
            self.queue.remove(residence)

    @precondition(lambda self: self.queue)
    @rule()
    def send_away(self):
        first, *others = self.queue
        assert not any(map(self.ledger.lacks_room, others))
        candidates = self.ledger.candidates()
        resident = [r for r in self.those(Presence.RESIDENT) if not r.pinned]
        assert sorted(resident, key=lambda r: r.last_used_ns) == candidates
        if self.ledger.lacks_room(first) and candidates:
            self.ledger.leave(candidates[0])

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def withdraw(self, data):
        residence = data.draw(st.sampled_from(self.queue))
        self.ledger.withdraw(residence)
        self.queue.remove(residence)

    @rule(data=st.data(), truth=st.integers(0, 30))
    def settle(self, data, truth):
        loading = self.those(Presence.LOADING)
        if loading:
            residence = data.draw(st.sampled_from(loading))
            settled = self.ledger.settle(residence, truth)
            assert residence.presence is (Presence.RESIDENT if settled else Presence.LEAVING)
            assert residence.byte_size == truth

    @rule(data=st.data(), truth=st.integers(0, 60))
    def recount(self, data, truth):
        resident, loading = self.those(Presence.RESIDENT), self.those(Presence.LOADING)
        if resident:
            residence = data.draw(st.sampled_from(resident))
            more = data.draw(st.sampled_from([None, *loading]))
            had = self.ledger.counted
            self.ledger.recount(residence, truth, more)
            assert self.ledger.counted <= had
            assert residence.byte_size <= truth
            assert more is None or more.presence is Presence.OUT

    @rule(data=st.data())
    def go(self, data):
        going = self.those(Presence.LEAVING) + self.those(Presence.LOADING)
        if going:
            self.ledger.gone(data.draw(st.sampled_from(going)))

    @rule(data=st.data())
    def use(self, data):
        self.now += 1
        data.draw(st.sampled_from(self.all)).last_used_ns = self.now

    @invariant()
    def what_is_counted_stays_within_the_budget(self):
        if hasattr(self, "ledger"):
            assert 0 <= self.ledger.counted <= self.ledger.budget
            holding = {Presence.LOADING, Presence.RESIDENT, Presence.LEAVING}
            assert set(self.ledger.holders()) == {r for r in self.all if r.presence in holding}

    @invariant()
    def the_first_in_the_queue_can_get_room_once_all_others_are_gone(self):
        if getattr(self, "queue", None):
            stays = sum(r.byte_size for r in self.those(Presence.RESIDENT) if r.pinned)
            first = self.queue[0]
            others = [r for r in self.ledger.holders() if not (r.pinned and r.presence is Presence.RESIDENT)]
            if not others and first.byte_size + stays <= self.ledger.budget:
                assert self.ledger.counted + first.byte_size <= self.ledger.budget


TestMachine = Machine.TestCase

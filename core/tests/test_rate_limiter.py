"""The rate limiter: its rules alone in any order of events, its pools, and what a model's configuration asks of it."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from charonia.config import normalise
from charonia.errors import InvalidArgumentError
from charonia.rate_limiter import MOST_OVERTAKEN, Demand, Precedence, RateLimiter, ResourceLimit, Seat, demands
from charonia.testing.builders import model_config
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

SIZES = {("a", 0): 4, ("b", 0): 2, ("c", None): 1}
NEEDS = st.fixed_dictionaries({}, optional={key: st.integers(1, size) for key, size in SIZES.items()})
DEMANDS = st.builds(Demand, NEEDS, st.integers(1, 3))


class Machine(RuleBasedStateMachine):
    """Instances of any needs that ask, are given, and give back, in any order."""

    @initialize(needs=st.lists(DEMANDS, min_size=2, max_size=8))
    def begin(self, needs):
        self.precedence = Precedence(SIZES.__getitem__)
        self.idle = [Seat(demand) for demand in needs]
        self.waiting = []
        self.executing = []

    def move(self):
        for seat in self.precedence.grant():
            self.waiting.remove(seat)
            self.executing.append(seat)

    @precondition(lambda self: self.idle)
    @rule(pick=st.integers(0, 7))
    def ask(self, pick):
        seat = self.idle.pop(pick % len(self.idle))
        self.precedence.ask(seat)
        self.waiting.append(seat)
        self.move()

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 7))
    def withdraw(self, pick):
        seat = self.waiting.pop(pick % len(self.waiting))
        self.precedence.withdraw(seat)
        self.idle.append(seat)
        self.move()

    @precondition(lambda self: self.executing)
    @rule(pick=st.integers(0, 7))
    def end(self, pick):
        seat = self.executing.pop(pick % len(self.executing))
        self.precedence.release(seat)
        self.idle.append(seat)
        self.move()

    @invariant()
    def never_more_than_there_is(self):
        used = Counter()
        for seat in getattr(self, "executing", ()):
            used.update(seat.demand.resources)
        assert all(count <= SIZES[resource] for resource, count in used.items())

    @invariant()
    def nobody_waits_for_nothing(self):
        """Where all is free, somebody executes: nobody waits for others who wait."""
        assert not getattr(self, "waiting", ()) or self.executing

    @invariant()
    def nobody_is_overtaken_too_often(self):
        for seat in getattr(self, "waiting", ()):
            assert seat.overtaken <= MOST_OVERTAKEN

    def teardown(self):
        """Whoever waits gets his turn, when others end."""
        while getattr(self, "executing", ()):
            self.precedence.release(self.executing.pop())
            self.move()
        assert not getattr(self, "waiting", ())


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def turns_taken(needs, size, count, length=1):
    """Let seats ask again as soon as they have ended, each after `length` others' turns; gives the turns of each."""
    precedence = Precedence(lambda _: size)
    seats = [Seat(demand) for demand in needs]
    for seat in seats:
        precedence.ask(seat)
    taken = Counter()
    executing = []
    for _ in range(count):
        granted = precedence.grant()
        taken.update(seats.index(seat) for seat in granted)
        executing += granted
        done, executing = executing[:length], executing[length:]
        for seat in done:
            precedence.release(seat)
            precedence.ask(seat)
    return [taken[index] for index in range(len(seats))]


@pytest.mark.parametrize(
    ("priorities", "expected"), [((1, 1), (60, 60)), ((1, 2), (80, 40)), ((1, 2, 3), (66, 33, 22))]
)
def test_turns_are_shared_by_priority(priorities, expected):
    """Of instances that always have work, one of priority 2 gets half as many turns as one of priority 1."""
    taken = turns_taken([Demand({("a", 0): 1}, priority) for priority in priorities], 1, 120)
    assert taken == pytest.approx(expected, abs=1)


def test_whoever_comes_late_does_not_catch_up():
    """An instance that had nothing to do, or was not there, gets its share from now on, not that of the past, too."""
    precedence = Precedence(lambda _: 1)
    old, new = Seat(Demand({("a", 0): 1})), Seat(Demand({("a", 0): 1}))
    precedence.ask(old)
    for _ in range(1000):
        assert precedence.grant() == [old]
        precedence.release(old)
        precedence.ask(old)
    precedence.ask(new)
    order = []
    for _ in range(6):
        (seat,) = precedence.grant()
        order.append(seat)
        precedence.release(seat)
        precedence.ask(seat)
    assert order.count(new) == 3


def test_whoever_does_not_need_it_is_not_held_up():
    """An instance waits only for what it needs itself, also behind one that waits for much."""
    precedence = Precedence(lambda resource: {"a": 2, "b": 1}[resource[0]])
    holder, much, other = (Seat(Demand(need)) for need in ({("a", 0): 1}, {("a", 0): 2}, {("b", 0): 1}))
    precedence.ask(holder)
    assert precedence.grant() == [holder]
    much.overtaken = MOST_OVERTAKEN
    precedence.ask(much)
    precedence.ask(other)
    assert precedence.grant() == [other]


@given(st.integers(2, 6), st.integers(1, 5))
def test_whoever_needs_much_gets_it_among_many_who_need_little(size, length):
    """An instance that needs all there is gets its turns, though there is never that much free by itself."""
    needs = [Demand({("a", 0): size})] + [Demand({("a", 0): 1})] * (2 * size)
    taken = turns_taken(needs, size, 400, length)
    assert taken[0] >= 400 * length // (size * (2 * size + MOST_OVERTAKEN + 2)) // 4
    assert taken[0] > 0


def test_demands_follow_from_the_groups():
    """Each instance that serves needs what its group says: on its device, or of what is for all; priority 0 is 1."""
    config = model_config()
    group = config.instance_group.add(kind="KIND_GPU", gpus=[0, 3], count=2)
    group.rate_limiter.resources.add(name="R", count=2)
    group.rate_limiter.resources.add(name="G", count=1, **{"global": True})
    group.rate_limiter.resources.add(name="N")
    group.rate_limiter.priority = 2
    config.instance_group.add(kind="KIND_CPU", count=1)
    config.instance_group.add(kind="KIND_CPU", count=5, passive=True)
    found = demands(normalise(config, gpus=[0, 3]))
    first, second = Demand({("R", 0): 2, ("G", None): 1}, 2), Demand({("R", 3): 2, ("G", None): 1}, 2)
    assert found == [first, first, second, second, Demand({})]


@pytest.mark.parametrize(
    ("limits", "need", "message"),
    [
        ([ResourceLimit("R", 1)], {("R", 0): 2}, 'count for "R" is limited to 1 which .* required count is 2$'),
        ([ResourceLimit("R", 4)], {("S", 0): 1}, 'count for "S" is limited to 0 which'),
        ([ResourceLimit("R", 4), ResourceLimit("R", 1, 1)], {("R", 1): 2}, 'count for "R" is limited to 1 which'),
        ([ResourceLimit("R", 1, 0)], {("R", None): 2}, 'count for "R" is limited to 1 which'),
        ([], {("T", 0): 2}, 'Resource "T" is present as both global and device-specific resource in the model conf'),
    ],
)
def test_what_can_never_execute_is_refused(limits, need, message):
    """An instance that would wait for ever is not let in, with the reference's words; the others are as before."""
    limiter = RateLimiter([*limits, *([ResourceLimit("T", 1)] if limits else [])])
    limiter.join([Demand({("T", None): 1})])
    with pytest.raises(InvalidArgumentError, match=message):
        limiter.join([Demand(need)])
    (seat,) = limiter.join([Demand({("T", None): 1})])
    limiter.take(seat)
    limiter.give_back(seat)


def test_without_limits_the_greatest_need_is_the_pool():
    """The pool grows with who joins, and shrinks when he leaves."""
    limiter = RateLimiter()
    small = limiter.join([Demand({("R", 0): 1})] * 2)
    assert limiter.try_take(small[0])
    assert not limiter.try_take(small[1])
    large = limiter.join([Demand({("R", 0): 2})])
    assert limiter.try_take(small[1])
    assert not limiter.try_take(large[0])
    limiter.give_back(small[0])
    limiter.leave(large)
    assert not limiter.try_take(small[0])
    limiter.give_back(small[1])
    assert limiter.try_take(small[0])


def test_who_waits_goes_on_when_the_pool_grows():
    """An instance that waits learns of a pool that has become larger."""
    limiter = RateLimiter()
    first, second = limiter.join([Demand({("R", 0): 1})] * 2)
    limiter.take(first)
    waiting = threading.Thread(target=limiter.take, args=(second,))
    waiting.start()
    limiter.join([Demand({("R", 0): 2})])
    waiting.join(30)
    assert not waiting.is_alive()


def test_threads_never_hold_more_than_there_is():
    """Many threads at once keep within the pools, and all come to their end."""
    limiter = RateLimiter([ResourceLimit("R", 3), ResourceLimit("S", 1)])
    needs = [{("R", 0): 1}, {("R", 0): 3}, {("R", 0): 2, ("S", None): 1}, {("S", None): 1}, {}]
    seats = limiter.join([Demand(need) for need in needs for _ in range(2)])
    lock = threading.Lock()
    held, most = Counter(), Counter()

    def work(seat):
        for number in range(200):
            if number % 3 and not limiter.try_take(seat):
                continue
            if not number % 3:
                limiter.take(seat)
            with lock:
                held.update(seat.demand.resources)
                for resource in held:
                    most[resource] = max(most[resource], held[resource])
            with lock:
                held.subtract(seat.demand.resources)
            limiter.give_back(seat)

    threads = [threading.Thread(target=work, args=(seat,)) for seat in seats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert most[("R", 0)] <= 3
    assert most[("S", None)] <= 1

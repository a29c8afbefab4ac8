"""Where requests wait for a model that is out of memory: in their order, no longer than they may, and each answered once."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.errors import CancelledError, InvalidArgumentError, UnavailableError
from charonia.request import InferenceRequest
from charonia.residency import Residence
from charonia.scheduler import Scheduler
from charonia.testing.builders import scheduler_context
from charonia.testing.virtual_clock import VirtualClock
from charonia.waiting_room import PAUSE_SECONDS, WaitingRoom


class Queue(Scheduler):
    """Takes all requests, or refuses those that say so; lends the one instance that it has."""

    def __init__(self, context):
        super().__init__(context)
        self.taken = []
        self.free = ["instance"]
        self.kept = False

    def enqueue(self, request):
        if request.id == "refused":
            raise InvalidArgumentError("not this one")
        self.taken.append(request.id)

    def next_batch(self, instance):
        return None

    def borrow(self):
        return self.free.pop() if self.free else None

    def give_back(self, instance):
        self.free.append(instance)

    @property
    def occupied(self):
        return self.kept

    @property
    def pending(self):
        return len(self.taken)

    def close(self):
        """There is nobody to wake."""


class Resident:
    """What a waiting room sees of a model that is in memory."""

    def __init__(self, context):
        self.scheduler = Queue(context)


class Bench:
    """A waiting room with what stands around it."""

    def __init__(self):
        self.clock = VirtualClock()
        self.context = scheduler_context(clock=self.clock)
        self.wishes = 0
        self.idle = True
        self.residence = Residence("m", 1, 1)
        self.room = WaitingRoom(self.context, self.residence, lambda: self.idle, self.wish)
        self.answers = []

    def wish(self):
        self.wishes += 1

    def send(self, key, **options):
        def answer(response):
            self.answers.append((key, type(response.error)))

        request = InferenceRequest("m", {"INPUT0": np.zeros(1)}, answer, id=key, **options)
        request.queued_ns = self.clock.now_ns()
        self.room.enqueue(request)
        return request

    def resident(self):
        model = Resident(self.context)
        assert self.room.admit(model)
        return model


@pytest.fixture
def bench():
    return Bench()


def test_requests_keep_their_order(bench):
    """What has waited goes first, in its order; the model was wanted once."""
    for key in "abc":
        bench.send(key)
    assert (bench.wishes, bench.room.pending) == (1, 3)
    model = bench.resident()
    bench.send("d")
    assert model.scheduler.taken == ["a", "b", "c", "d"]
    assert bench.residence.last_used_ns == bench.clock.now_ns()


def test_what_the_model_refuses_is_told(bench):
    """A request that its own scheduler does not take is answered by its error, and holds up nobody."""
    for key in ("a", "refused", "b"):
        bench.send(key)
    assert bench.resident().scheduler.taken == ["a", "b"]
    assert bench.answers == [("refused", InvalidArgumentError)]
    with pytest.raises(InvalidArgumentError):
        bench.send("refused")


def test_who_is_told_may_ask_again(bench):
    """Whoever gets an answer while a model is admitted may send the next request at once, which goes last."""
    request = InferenceRequest("m", {}, lambda _: bench.send("again"), id="refused")
    bench.room.enqueue(request)
    bench.send("a")
    assert bench.resident().scheduler.taken == ["a", "again"]
    assert bench.wishes == 1


def test_time_outs_come_in_their_order(bench):
    """Each request waits as long as it says, and those without a word as long as it takes."""
    bench.send("slow", timeout_us=2_000_000)
    bench.send("quick", timeout_us=1_000_000)
    bench.send("patient")
    bench.clock.advance(1.5)
    assert bench.answers == [("quick", UnavailableError)]
    bench.clock.advance(1)
    assert bench.answers == [("quick", UnavailableError), ("slow", UnavailableError)]
    assert bench.resident().scheduler.taken == ["patient"]


def test_nobody_is_left_of_those_who_went(bench):
    """As long as one request waits that was not taken back, the model is wanted; else those that were are answered."""
    first, second = bench.send("a"), bench.send("b")
    first.cancel()
    assert bench.room.still_wanted()
    second.cancel()
    assert not bench.room.still_wanted()
    assert bench.answers == [("a", CancelledError), ("b", CancelledError)]
    bench.send("c")
    assert bench.wishes == 2


def test_a_failure_is_told_for_a_while(bench):
    """After a failed load requests are refused until some time has passed; after one without room the next one tries again."""
    bench.send("a")
    bench.room.fail(UnavailableError("no room"), pause=False)
    bench.send("b")
    bench.room.fail(UnavailableError("broken"), pause=True)
    assert bench.answers == [("a", UnavailableError), ("b", UnavailableError)]
    assert bench.room.failing
    with pytest.raises(UnavailableError, match="broken"):
        bench.send("c")
    bench.clock.advance(PAUSE_SECONDS)
    assert not bench.room.failing
    bench.send("d")
    assert bench.wishes == 3


def test_a_model_in_use_is_not_given_away(bench):
    """It is in use while a request is in progress, while an instance is lent, and while its scheduler keeps something."""
    assert bench.room.move_out() is None
    assert bench.room.borrow() is None
    model = bench.resident()
    bench.idle = False
    assert bench.room.move_out() is None
    bench.idle = True
    instance = bench.room.borrow()
    assert bench.room.borrow() is None
    assert bench.room.move_out() is None
    bench.room.give_back(instance)
    model.scheduler.kept = True
    assert bench.room.move_out() is None
    model.scheduler.kept = False
    assert bench.room.move_out() is model
    bench.send("a")
    assert (bench.wishes, bench.room.pending) == (1, 1)


def test_a_model_that_is_held_is_not_given_away(bench):
    """Whoever changes the model keeps it in memory meanwhile; then it may go."""
    model = bench.resident()
    with bench.room.holding() as held:
        assert held is model
        assert bench.room.move_out() is None
    assert bench.room.move_out() is model
    with bench.room.holding() as held:
        assert held is None


def test_nothing_comes_in_after_the_end(bench):
    """A closed room takes neither requests nor a model, and leaves nobody waiting."""
    bench.send("a")
    bench.room.close()
    assert bench.answers == [("a", UnavailableError)]
    with pytest.raises(UnavailableError):
        bench.send("b")
    assert not bench.room.admit(Resident(bench.context))
    assert bench.room.take_out() is None


def test_an_instance_that_is_lent_again_while_it_is_given_back(bench, monkeypatch):
    """Another thread may borrow it as soon as the scheduler has it back; the model stays until that gives it back, too."""
    model = bench.resident()
    give_back = model.scheduler.give_back
    others = []

    def quickly(instance):
        give_back(instance)
        others.append(bench.room.borrow())

    instance = bench.room.borrow()
    with monkeypatch.context() as while_it_is_given_back:
        while_it_is_given_back.setattr(model.scheduler, "give_back", quickly)
        bench.room.give_back(instance)
    assert others == [instance]
    assert bench.room.move_out() is None
    bench.room.give_back(instance)
    assert bench.room.move_out() is model

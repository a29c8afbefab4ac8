"""The default scheduler: the standard tests, and a machine that does everything in any order."""

from __future__ import annotations

import queue
import threading

import numpy as np
import pytest
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import UnavailableError
from charonia.request import InferenceRequest
from charonia.scheduler import scheduler_name
from charonia.testing.builders import model_config, scheduler_context
from charonia.testing.scheduler_suite import SchedulerSuite
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule


def make_request(number):
    return InferenceRequest("model", {"INPUT0": np.zeros((1, 16), np.float32)}, lambda _: None, id=str(number))


class TestDefaultScheduler(SchedulerSuite):
    lends_instances = True

    def make_scheduler(self):
        return DefaultScheduler(scheduler_context())


class Instance:
    """An instance's thread, driven step by step: `begin` asks for a batch, `take` fetches what came."""

    def __init__(self, scheduler, number):
        self.number = number
        self._scheduler = scheduler
        self._asked = queue.SimpleQueue()
        self._given = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while self._asked.get():
            self._given.put(self._scheduler.next_batch(self.number))

    def begin(self):
        self._asked.put(True)

    def take(self):
        return self._given.get(timeout=30)

    def end(self):
        self._asked.put(False)
        self._thread.join(30)
        assert not self._thread.is_alive()


class Machine(RuleBasedStateMachine):
    """Callers, three instances, borrowers and a close, in any order, beside a model of who waits and what is queued."""

    lent = Bundle("lent")

    def __init__(self):
        super().__init__()
        self.scheduler = DefaultScheduler(scheduler_context())
        self.instances = [Instance(self.scheduler, number) for number in range(3)]
        self.idle = []  # instances that wait, the last one on top
        self.busy = {0, 1, 2}
        self.queue = []
        self.sent = 0
        self.done = []
        self.closed = False

    def expect(self, number, ids):
        batch = self.instances[number].take()
        got = None if batch is None else [request.id for request in batch.requests]
        assert got == ids
        self.done += ids or []
        self.busy.add(number)

    def wait_until_idle(self, number):
        """See the instance in the scheduler's stack: white-box, since whether a thread waits has no other sign."""
        while not any(waiter.instance == number for waiter in list(self.scheduler._idle)):
            pass

    @rule()
    def enqueue(self):
        request = make_request(self.sent)
        if self.closed:
            with pytest.raises(UnavailableError):
                self.scheduler.enqueue(request)
            return
        self.scheduler.enqueue(request)
        self.sent += 1
        if self.idle:
            self.expect(self.idle.pop(), [request.id])
        else:
            self.queue.append(request.id)

    @precondition(lambda self: self.busy)
    @rule(pick=st.integers(0, 2))
    def ask(self, pick):
        number = sorted(self.busy)[pick % len(self.busy)]
        self.busy.remove(number)
        self.instances[number].begin()
        if self.queue:
            self.expect(number, [self.queue.pop(0)])
        elif self.closed:
            self.expect(number, None)
        else:
            self.wait_until_idle(number)
            self.idle.append(number)

    @rule(target=lent)
    def borrow(self):
        instance = self.scheduler.borrow()
        assert instance == (self.idle.pop() if self.idle else None)
        return instance

    @rule(instance=consumes(lent))
    def give_back(self, instance):
        if instance is None:
            return
        self.scheduler.give_back(instance)
        if self.queue:
            self.expect(instance, [self.queue.pop(0)])
        elif self.closed:
            self.expect(instance, None)
        else:
            self.idle.append(instance)

    @rule()
    def close(self):
        self.scheduler.close()
        self.closed = True
        while self.idle:
            self.expect(self.idle.pop(), None)

    @invariant()
    def nothing_is_lost_or_given_twice(self):
        assert self.scheduler.pending == len(self.queue)
        assert len(set(self.done)) == len(self.done)
        assert sorted([*self.done, *self.queue], key=int) == [str(number) for number in range(self.sent)]
        assert self.done == sorted(self.done, key=int)

    def teardown(self):
        self.close()
        for number in {0, 1, 2} - self.busy:
            self.scheduler.give_back(number)  # what is still lent comes home
            batch = self.instances[number].take()
            if batch is not None:
                self.done += [request.id for request in batch.requests]
                self.queue.pop(0)
        for instance in self.instances:
            instance.end()
        while (batch := self.scheduler.next_batch("last")) is not None:
            assert [request.id for request in batch.requests] == [self.queue.pop(0)]
        assert self.queue == []


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_last_worker_is_the_first_to_work():
    """Of several waiting instances the one that came last is lent, since its caches are the warmest."""
    scheduler = DefaultScheduler(scheduler_context())
    instances = [Instance(scheduler, number) for number in range(2)]
    for instance in instances:
        instance.begin()
        while not any(waiter.instance == instance.number for waiter in list(scheduler._idle)):
            pass
    assert [scheduler.borrow(), scheduler.borrow()] == [1, 0]
    for number in (0, 1):
        scheduler.give_back(number)
    scheduler.close()
    assert [instance.take() for instance in instances] == [None, None]
    for instance in instances:
        instance.end()


def test_refusal_names_the_request():
    """A request that comes after `close` is refused with the reference's text and the request's id."""
    scheduler = DefaultScheduler(scheduler_context())
    scheduler.close()
    with pytest.raises(UnavailableError, match=r"^\[request id: 7\] Server is stopping"):
        scheduler.enqueue(make_request(7))
    nameless = make_request(7)
    nameless.id = ""
    with pytest.raises(UnavailableError, match=r"^\[request id: <id_unknown>\] "):
        scheduler.enqueue(nameless)


@pytest.mark.parametrize("section", ["dynamic_batching", "sequence_batching", "ensemble_scheduling"])
def test_scheduler_is_chosen_by_the_section(section):
    """A model's scheduling section is the name of its scheduler, also if the section is empty."""
    config = model_config()
    getattr(config, section).SetInParent()
    assert scheduler_name(config) == section


def test_scheduler_is_default_or_named_by_a_parameter():
    """Without a section it is the default one; the parameter `scheduler` names a third party's, before any section."""
    config = model_config()
    assert scheduler_name(config) == "default"
    config.dynamic_batching.SetInParent()
    config.parameters["scheduler"].string_value = "acme"
    assert scheduler_name(config) == "acme"

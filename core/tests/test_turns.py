"""Requests that are executed in several turns: the way back to the scheduler, and what becomes of the executions."""

from __future__ import annotations

import queue
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from charonia.backend import Device, Execution, InstanceContext, ModelContext
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import UnsupportedError
from charonia.instance import ModelInstance
from charonia.request import InferenceRequest, InferenceResponse
from charonia.statistics import ModelStatistics
from charonia.testing.builders import model_config, scheduler_context
from charonia.turns import Turns

CONFIG = model_config(max_batch_size=0)


class TakesBack(DefaultScheduler):
    """First in, first out; what comes back goes to the end of the queue."""

    def enqueue(self, request):
        """Take a request, and let it come back."""
        request.turns = Turns(partial(super().enqueue, request))
        super().enqueue(request)

    def next_batch(self, instance):
        """Give a request out, perhaps not for the first time."""
        formed = super().next_batch(instance)
        for request in formed.requests if formed else ():
            if request.rescheduled:
                request.turns.begin()
        return formed

    def ready_batch(self, instance):
        """Leave everything to the other one."""


class Counter(Execution):
    """Answers a request in the turn whose number is its input; fails where that is negative."""

    def execute(self, batch):
        """Answer, or ask for one more turn."""
        batch.respond_all([self._answer(request) for request in batch.requests])

    def _answer(self, request):
        wanted = int(request.inputs["INPUT0"][0])
        if wanted < 0:
            raise ValueError("no turn at all")
        turn = 1 if request.turns is None else request.turns.count
        return None if turn < wanted else InferenceResponse({"OUTPUT0": np.full(16, turn, np.float32)})


@pytest.fixture
def served(request):
    """Serve by a scheduler of the parameter's class: `ask(number)` gives the answer; the statistics are beside it."""
    context = InstanceContext("model_0", Device("CPU"), ModelContext("model", 1, Path(), CONFIG))
    scheduler, statistics = request.param(scheduler_context(CONFIG)), ModelStatistics()
    instance = ModelInstance(Counter(context), scheduler, statistics)
    instance.start()

    def ask(number):
        answers = queue.SimpleQueue()
        scheduler.enqueue(InferenceRequest("model", {"INPUT0": np.full(16, number, np.float32)}, answers.put))
        return answers.get(timeout=30)

    yield ask, statistics
    scheduler.close()
    assert instance.close(30)


@pytest.mark.parametrize("served", [TakesBack], indirect=True)
def test_each_turn_is_an_execution(served):
    """A request comes back until it is answered; a turn that is followed by another one is no failure."""
    ask, statistics = served
    assert ask(3)["OUTPUT0"][0] == 3
    assert ask(1)["OUTPUT0"][0] == 1
    assert "no turn at all" in str(ask(-1).error)
    told = statistics.snapshot()
    assert (told.execution_count, told.compute_infer.count) == (5, 4)


@pytest.mark.parametrize("served", [DefaultScheduler], indirect=True)
def test_a_scheduler_that_takes_nothing_back(served):
    """A request that cannot be executed again is answered with an error that tells what is missing."""
    ask, _ = served
    error = ask(2).error
    assert isinstance(error, UnsupportedError)
    assert "'sequence_batching { iterative_sequence: true }'" in str(error)
    assert ask(1).error is None


def test_one_turn_ends_once():
    """Giving back twice, or after the final response, does nothing; the next turn may be given back again."""
    taken = []
    request = InferenceRequest("model", {}, lambda response: None)
    request.turns = Turns(lambda: taken.append(request.rescheduled))
    request.reschedule()
    request.reschedule()
    assert taken == [True]
    request.turns.begin()
    assert (request.rescheduled, request.turns.count) == (False, 2)
    request.reschedule()
    request.turns.begin()
    request.respond(InferenceResponse())
    request.reschedule()
    assert taken == [True, True]
    assert request.done

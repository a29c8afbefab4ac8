"""An instance: its thread, and that nothing which an execution or a receiver does ends it."""

from __future__ import annotations

import asyncio
import queue
import threading
from pathlib import Path

import numpy as np
import pytest
from charonia.backend import ArrayExecution, Device, InstanceContext, ModelContext
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import InternalError
from charonia.instance import ModelInstance
from charonia.request import InferenceRequest
from charonia.statistics import ModelStatistics
from charonia.testing.builders import model_config, scheduler_context
from charonia.testing.fakes import Gate

CONFIG = model_config(max_batch_size=0)


class Script(ArrayExecution):
    """Does to each request what its first number says: 1 waits at the gate, 2 exits, 3 is cancelled, 4 is interrupted."""

    def run(self, inputs):
        match int(inputs["INPUT0"][0]):
            case 1:
                Gate.in_use["script"].wait_open(self.context.name)
            case 2:
                raise SystemExit(3)
            case 3:
                raise asyncio.CancelledError
            case 4:
                raise KeyboardInterrupt
        return {"OUTPUT0": inputs["INPUT0"]}


@pytest.fixture
def instance():
    context = InstanceContext("model_0", Device("CPU"), ModelContext("model", 1, Path(), CONFIG))
    return ModelInstance(Script(context), DefaultScheduler(scheduler_context(CONFIG)), ModelStatistics())


@pytest.fixture
def scheduler(instance):
    scheduler = instance._scheduler
    instance.start()
    yield scheduler
    scheduler.close()
    assert instance.close(30)


def ask(number=0, sink=None):
    answers = queue.SimpleQueue()
    tensor = np.full(16, number, np.float32)
    return InferenceRequest("model", {"INPUT0": tensor}, sink or answers.put), answers


def test_response_does_not_wait_for_the_next_execution(scheduler):
    """However quick an execution was, its response leaves before the next one begins, which may be slow."""
    quick, answers = ask()
    slow, late = ask(1)
    with Gate("script") as gate:
        for request in (quick, slow):
            scheduler.enqueue(request)
        gate.wait_entered()
        assert answers.get(timeout=30).error is None
        assert late.empty()
    assert late.get(timeout=30).error is None


@pytest.mark.parametrize(("number", "name"), [(2, "SystemExit"), (3, "CancelledError"), (4, "KeyboardInterrupt")])
def test_nothing_that_a_model_raises_ends_its_instance(scheduler, number, name):
    """What would end a program or a task is an answer like any other failure, and the instance goes on."""
    request, answers = ask(number)
    scheduler.enqueue(request)
    error = answers.get(timeout=30).error
    assert isinstance(error, InternalError)
    assert str(error).startswith(name)
    request, answers = ask()
    scheduler.enqueue(request)
    assert answers.get(timeout=30).error is None


def test_interrupt_of_the_main_thread_is_passed_on(instance, caplog):
    """Ctrl-C in a caller that executes by itself ends its request, and is the caller's to handle: no model has failed."""
    request, answers = ask(4)
    with pytest.raises(KeyboardInterrupt):
        instance.execute([request])
    assert isinstance(answers.get(timeout=30).error, InternalError)
    assert not caplog.records


def test_receiver_that_raises_harms_nobody_else(scheduler, caplog):
    """A sink must not raise; if one does, it is logged, and the instance goes on."""

    def refuse(response):
        raise RuntimeError("no letterbox")

    for request in (ask(sink=refuse)[0], ask(2, sink=refuse)[0]):
        scheduler.enqueue(request)
    request, answers = ask()
    scheduler.enqueue(request)
    assert answers.get(timeout=30).error is None
    assert "no letterbox" in caplog.text


def test_instances_thread_is_its_own(scheduler):
    """An instance serves on a thread that bears its name."""
    assert "charonia-instance-model_0" in {thread.name for thread in threading.enumerate()}

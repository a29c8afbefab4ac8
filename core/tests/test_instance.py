"""An instance and the responses that it holds for a moment, so that they leave together."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import numpy as np
import pytest
from charonia.backend import ArrayExecution, Device, InstanceContext, ModelContext
from charonia.instance import ModelInstance
from charonia.request import InferenceRequest
from charonia.scheduler import Scheduler
from charonia.statistics import ModelStatistics
from charonia.testing.builders import model_config

CONFIG = model_config()


class Echo(ArrayExecution):
    def run(self, inputs):
        return {"OUTPUT0": inputs["INPUT0"]}


class Script(Scheduler):
    """Gives what the test puts in: `ready` at once, `awaited` to who waits. Always says that more is pending."""

    def __init__(self, config):
        super().__init__(config)
        self.ready = queue.SimpleQueue()
        self.awaited = queue.SimpleQueue()

    def enqueue(self, request):
        self.awaited.put([request])

    def ready_batch(self, instance):
        try:
            return self.ready.get_nowait()
        except queue.Empty:
            return None

    def next_batch(self, instance):
        return self.awaited.get(timeout=30)

    def close(self):
        self.awaited.put(None)

    @property
    def pending(self):
        return 1


@pytest.fixture
def script():
    scheduler = Script(CONFIG)
    context = InstanceContext("model_0", Device("CPU"), ModelContext("model", 1, Path(), CONFIG))
    instance = ModelInstance(Echo(context), scheduler, ModelStatistics())
    instance.start()
    yield scheduler
    scheduler.close()
    assert instance.close(30)


def ask():
    answers = queue.SimpleQueue()
    return InferenceRequest("model", {"INPUT0": np.zeros((1, 16), np.float32)}, answers.put), answers


def test_response_leaves_before_the_instance_waits(script):
    """What is pending may go to another instance, so that nobody's response depends on it."""
    request, answers = ask()
    script.enqueue(request)
    assert answers.get(timeout=30).error is None


def test_response_does_not_wait_behind_cancelled_requests(script):
    """A batch of which nothing is left to execute holds no response back."""
    request, answers = ask()
    cancelled, _ = ask()
    cancelled.cancel()
    script.ready.put([cancelled])
    script.enqueue(request)
    assert answers.get(timeout=30).error is None


def test_responses_of_ready_work_keep_their_order(script):
    """Responses that leave together leave in the order of their requests."""
    told = queue.SimpleQueue()
    requests = [
        InferenceRequest("model", {"INPUT0": np.zeros((1, 16), np.float32)}, lambda _, number=number: told.put(number))
        for number in range(5)
    ]
    for request in requests[1:]:
        script.ready.put([request])
    script.enqueue(requests[0])
    assert [told.get(timeout=30) for _ in requests] == [0, 1, 2, 3, 4]


def test_instances_thread_is_its_own(script):
    """An instance serves on a thread that bears its name."""
    assert "charonia-instance-model_0" in {thread.name for thread in threading.enumerate()}

"""What the tests of sequences have in common: a scheduler under a virtual clock, and clients of it."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.batch import NullRequest
from charonia.config import ModelConfig, normalise
from charonia.datatypes import DataType
from charonia.errors import CancelledError
from charonia.request import InferenceRequest, InferenceResponse
from charonia.testing.builders import scheduler_context
from charonia.testing.virtual_clock import VirtualClock
from charonia_scheduler_sequence.scheduler import SequenceScheduler
from google.protobuf import text_format
from hypothesis import settings


def make_configuration(section, max_batch_size=4, dims=(1,), datatype="INT32"):
    """Make a model's configuration whose section `sequence_batching` has that text."""
    config = ModelConfig(name="model", backend="none", max_batch_size=max_batch_size)
    config.input.add(name="X", data_type=DataType[datatype].number, dims=dims)
    config.output.add(name="Y", data_type=DataType[datatype].number, dims=dims)
    text_format.Parse(section, config.sequence_batching)
    config.sequence_batching.SetInParent()
    return normalise(config)


class Call:
    """A request that was sent, and its answers."""

    def __init__(self, request):
        self.request = request
        self.responses = []

    @property
    def error(self):
        """The text of the error that it got, if it did."""
        (response,) = self.responses
        return str(response.error)

    @property
    def cancelled(self):
        """Whether it was answered as one that has been taken back."""
        return bool(self.responses) and isinstance(self.responses[-1].error, CancelledError)


class Model:
    """A scheduler under a virtual clock, whose instances execute what it gives when they are told to."""

    def __init__(self, section, *, instances=("only",), directory=None, **options):
        self.config = make_configuration(section, **options)
        self.clock = VirtualClock()
        self.scheduler = SequenceScheduler(scheduler_context(self.config, clock=self.clock, directory=directory))
        self.scheduler.attach(instances)
        self.instances = instances

    def send(self, sequence, value=0, *, start=False, end=False, dims=(1,), **options):
        """Send a request, and give it with the list of its responses."""
        lead = (1,) if self.config.max_batch_size else ()
        call = Call(None)
        call.request = InferenceRequest(
            "model",
            {"X": np.full((*lead, *dims), value, np.int32)},
            call.responses.append,
            correlation_id=sequence,
            flags=start + 2 * end,
            **options,
        )
        self.scheduler.enqueue(call.request)
        return call

    def take(self, instance="only"):
        """Give the requests that an instance is to execute now, or None."""
        formed = self.scheduler.ready_batch(instance)
        return None if formed is None else formed.requests

    def values(self, instance="only"):
        """Execute an instance's next batch; give its inputs, None for a place without a request."""
        batch = self.take(instance)
        return None if batch is None else [None if isinstance(r, NullRequest) else self.execute(r) for r in batch]

    @staticmethod
    def execute(request, **outputs):
        """Answer a request that was taken; gives its input."""
        request.started_ns = 1
        request.respond(InferenceResponse({"Y": request.inputs["X"], **outputs}))
        return int(request.inputs["X"].ravel()[0])


@pytest.fixture
def model():
    """Make models: see `Model`."""
    return Model


@pytest.fixture
def configuration():
    """Make configurations: see `make_configuration`."""
    return make_configuration


@pytest.fixture
def run_clients():
    """Run a state machine of clients, whose schedulers have configurations by its `make_config`: batches of two, inputs of text."""

    def run(clients):
        clients.make_config = staticmethod(
            lambda section: make_configuration(section, max_batch_size=2, datatype="BYTES")
        )
        case = clients.TestCase("runTest")
        case.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
        case.runTest()

    return run


@pytest.fixture
def play_sums():
    """Ask a model that sums X up, and tells WORD the next time, in two sequences side by side: each has its own, and no other output."""

    def play(model, *, batches):
        told = {1: [], "two": []}
        for step in range(3):
            for number, name in enumerate(told, start=1):
                x, word = np.array([number * (step + 1)], np.float32), np.array([f"{name}{step}".encode()], np.object_)
                answer = model.infer(
                    {"X": x[None] if batches else x, "WORD": word[None] if batches else word},
                    sequence_id=name,
                    sequence_start=step == 0,
                    sequence_end=step == 2,
                )
                assert set(answer.outputs) == {"SUM", "BEFORE"}
                told[name].append((answer["SUM"].item(), answer["BEFORE"].item()))
        assert told == {
            1: [(1001, b""), (3, b"10"), (6, b"11")],
            "two": [(1002, b""), (6, b"two0"), (12, b"two1")],
        }

    return play

"""A model with real instances and threads: every request is answered once, counted once, and nothing outlives the model."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import numpy as np
import pytest
from charonia.backend import ArrayExecution, Device, Execution, LoadedModel, ModelContext
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import CancelledError, ErrorCode, InternalError
from charonia.instance import instance_places
from charonia.instances import Instances
from charonia.model import Model, ModelRetiredError
from charonia.promptness import Promptness
from charonia.request import InferenceRequest, InferenceResponse
from charonia.statistics import ModelStatistics
from charonia.testing.builders import scheduler_context
from charonia_protos.model_config_pb2 import ModelConfig, ModelInstanceGroup


def config_of(*, count=1, max_batch_size=8):
    config = ModelConfig(name="double", max_batch_size=max_batch_size)
    config.input.add(name="X", data_type=11, dims=[2])
    config.output.add(name="Y", data_type=11, dims=[2])
    config.output.add(name="Z", data_type=11, dims=[2])
    config.instance_group.add(name="double_0", kind=ModelInstanceGroup.KIND_CPU, count=count)
    return config


class Double(ArrayExecution):
    """Twice the input; stops at a gate where it has one; fails where the input is negative."""

    gate: threading.Event | None = None
    entered: queue.SimpleQueue | None = None

    def run(self, inputs):
        if self.entered is not None:
            self.entered.put(self.context.name)
        if self.gate is not None:
            assert self.gate.wait(30)
        if (inputs["X"] < 0).any():
            raise ValueError("negative")
        return {"Y": inputs["X"] * 2, "Z": inputs["X"] * 3}


class Weights(LoadedModel):
    closed = False

    def __init__(self, context, execution=Double, attributes=()):
        super().__init__(context)
        self._execution = execution
        self._attributes = dict(attributes)

    def instantiate(self, context):
        made = self._execution(context)
        for key, value in self._attributes.items():
            setattr(made, key, value)
        return made

    def close(self):
        self.closed = True


def make_model(config=None, execution=Double, **attributes):
    config = config or config_of()
    context = ModelContext("double", 1, Path(), config)
    statistics = ModelStatistics()
    scheduler = DefaultScheduler(scheduler_context(config))
    loaded = Weights(context, execution, attributes)
    instances = Instances(loaded, scheduler, statistics, Promptness())
    model = Model(config, 1, loaded=loaded, scheduler=scheduler, instances=instances, statistics=statistics)
    model.use(model.prepare(context))
    return model


@pytest.fixture
def serve():
    made = []

    def start(*args, **options):
        model = make_model(*args, **options)
        made.append(model)
        return model

    yield start
    for model in made:
        assert model.close(30)


def ask(model, value=1.0, batch=1, **options):
    answers = queue.SimpleQueue()
    request = InferenceRequest("double", {"X": np.full((batch, 2), value, np.float32)}, answers.put, **options)
    return request, answers


def test_request_is_answered_through_the_queue(serve):
    """A submitted request reaches an instance's thread and its response reaches the sink."""
    model = serve()
    request, answers = ask(model, 3.0)
    model.submit(request)
    assert answers.get(timeout=30)["Y"].tolist() == [[6.0, 6.0]]


def test_direct_request_runs_in_the_callers_thread(serve):
    """Where an instance is free, a direct request is executed right here."""
    model = serve(entered=queue.SimpleQueue())
    request, answers = ask(model, 3.0)
    borrowed_in_vain = 0
    while not model.submit_direct(request):  # the instance's thread may not wait for work yet
        borrowed_in_vain += 1
        assert borrowed_in_vain < 1_000_000
    assert answers.get_nowait()["Y"].tolist() == [[6.0, 6.0]]


def test_direct_request_does_not_overtake(serve):
    """While the only instance is busy, a direct request is declined."""
    gate, entered = threading.Event(), queue.SimpleQueue()
    model = serve(gate=gate, entered=entered)
    request, answers = ask(model)
    model.submit(request)
    entered.get(timeout=30)
    assert model.submit_direct(ask(model)[0]) is False
    gate.set()
    assert answers.get(timeout=30).error is None


def test_only_requested_outputs_come_back(serve):
    """A request that names outputs gets those."""
    model = serve()
    request, answers = ask(model, requested_outputs=("Z",))
    model.submit(request)
    assert list(answers.get(timeout=30).outputs) == ["Z"]


def test_failure_answers_its_request_and_the_instance_goes_on(serve):
    """What a model raises becomes the answer of its batch; the next request is served."""
    model = serve()
    bad, bad_answers = ask(model, -1.0)
    good, good_answers = ask(model, 1.0)
    model.submit(bad)
    model.submit(good)
    error = bad_answers.get(timeout=30).error
    assert isinstance(error, InternalError)
    assert "ValueError: negative" in str(error)
    assert good_answers.get(timeout=30).error is None


def test_cancelled_request_in_the_queue_is_never_executed(serve):
    """A request that is cancelled while it waits is dropped when it is picked up, and answered with CANCELLED."""
    gate, entered = threading.Event(), queue.SimpleQueue()
    model = serve(gate=gate, entered=entered)
    first, first_answers = ask(model)
    model.submit(first)
    entered.get(timeout=30)
    second, second_answers = ask(model)
    model.submit(second)
    second.cancel()
    gate.set()
    assert first_answers.get(timeout=30).error is None
    assert isinstance(second_answers.get(timeout=30).error, CancelledError)
    assert entered.empty()
    assert model.snapshot().execution_count == 1


def test_cancelled_request_in_execution_loses_its_result(serve):
    """A request that is cancelled while it executes is answered with CANCELLED, not with its outputs."""
    gate, entered = threading.Event(), queue.SimpleQueue()
    model = serve(gate=gate, entered=entered)
    request, answers = ask(model)
    model.submit(request)
    entered.get(timeout=30)
    request.cancel()
    gate.set()
    response = answers.get(timeout=30)
    assert response.error is not None
    assert response.error.code is ErrorCode.CANCELLED


def test_close_finishes_what_was_accepted_and_refuses_the_rest():
    """Closing waits for accepted requests, queued ones included; later ones are told to look the model up again."""
    gate, entered = threading.Event(), queue.SimpleQueue()
    model = make_model(gate=gate, entered=entered)
    pending = [ask(model) for _ in range(5)]
    for request, _ in pending:
        model.submit(request)
    entered.get(timeout=30)
    closing = threading.Thread(target=model.close)
    closing.start()
    while True:
        try:
            model.submit(ask(model)[0])
        except ModelRetiredError:
            break
    gate.set()
    closing.join(30)
    assert not closing.is_alive()
    assert all(answers.get(timeout=30).final for _, answers in pending)
    assert model._loaded.closed


def test_close_gives_up_after_its_timeout():
    """A model whose execution does not end is left behind, and says so."""
    gate, entered = threading.Event(), queue.SimpleQueue()
    model = make_model(gate=gate, entered=entered)
    request, answers = ask(model)
    model.submit(request)
    entered.get(timeout=30)
    assert model.close(0.01) is False
    gate.set()
    assert answers.get(timeout=30).error is None
    assert model.close(30) is True


def test_instances_work_side_by_side(serve):
    """Two instances execute two requests at the same time."""
    gate, entered = threading.Event(), queue.SimpleQueue()
    model = serve(config_of(count=2), gate=gate, entered=entered)
    both = [ask(model) for _ in range(2)]
    for request, _ in both:
        model.submit(request)
    assert {entered.get(timeout=30), entered.get(timeout=30)} == {"double_0_0", "double_0_1"}
    gate.set()
    assert all(answers.get(timeout=30).error is None for _, answers in both)


def test_statistics_count_requests_and_executions(serve):
    """Successes, failures, inferences and batch sizes are counted, each where it belongs."""
    model = serve()
    for value, batch in ((1.0, 1), (1.0, 3), (-1.0, 3)):
        request, answers = ask(model, value, batch)
        model.submit(request)
        answers.get(timeout=30)
    counted = model.snapshot()
    assert (counted.success.count, counted.fail.count) == (2, 1)
    assert (counted.inference_count, counted.execution_count) == (4, 3)
    assert counted.compute_infer.count == 2
    assert {size: batch.compute_infer.count for size, batch in counted.batches.items()} == {1: 1, 3: 2}
    assert counted.success.ns >= counted.queue.ns + counted.compute_infer.ns // 2
    assert (counted.pending, counted.in_flight) == (0, 0)


class Forgetful(Execution):
    """Answers nothing."""

    def execute(self, batch):
        return


def test_execution_that_forgets_a_request_fails_it(serve):
    """A request that is left without an answer gets an error that names the instance."""
    model = serve(execution=Forgetful)
    request, answers = ask(model)
    model.submit(request)
    assert "double_0_0" in str(answers.get(timeout=30).error)


class Late(Execution):
    """Answers each request twice, from another thread, after `execute` has returned."""

    answers_late = True

    def execute(self, batch):
        (request,) = batch.requests

        def answer():
            request.respond(InferenceResponse({"Y": request.inputs["X"]}, final=False))
            request.respond(InferenceResponse({"Y": request.inputs["X"] * 2}))
            request.respond(InferenceResponse({"Y": request.inputs["X"] * 9}))

        threading.Thread(target=answer).start()


def test_late_answers_arrive_in_order_and_end_with_the_final_one(serve):
    """An execution may answer many times and late; what comes after the final response is dropped."""
    model = serve(execution=Late)
    request, answers = ask(model, 1.0)
    model.submit(request)
    first, second = answers.get(timeout=30), answers.get(timeout=30)
    assert (first.final, second.final) == (False, True)
    assert second["Y"].tolist() == [[2.0, 2.0]]
    assert model.close(30)
    assert answers.empty()
    assert model.snapshot().success.count == 1


def test_instance_groups_expand_as_in_the_reference():
    """Each group has its count of instances, on each of its GPUs, named through the group."""
    config = ModelConfig(name="m")
    config.instance_group.add(name="a", kind=ModelInstanceGroup.KIND_CPU, count=2)
    config.instance_group.add(name="b", kind=ModelInstanceGroup.KIND_GPU, count=2, gpus=[0, 3], passive=True)
    assert [place[:3] for place in instance_places(config)] == [
        ("a_0", Device("CPU"), False),
        ("a_1", Device("CPU"), False),
        ("b_0", Device("GPU", 0), True),
        ("b_1", Device("GPU", 0), True),
        ("b_2", Device("GPU", 3), True),
        ("b_3", Device("GPU", 3), True),
    ]

"""The scheduler: what every scheduler keeps to, its times under a clock that stands still, and models that it serves."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor

import charonia_scheduler_dynamic
import numpy as np
import pytest
from charonia.clock import Clock
from charonia.errors import CancelledError, UnavailableError
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, scheduler_context, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia.testing.scheduler_suite import SchedulerSuite
from charonia.testing.virtual_clock import VirtualClock
from charonia_scheduler_dynamic.scheduler import DynamicScheduler

PATIENCE_SECONDS = 30.0


class TestWithoutDelay(SchedulerSuite):
    lends_instances = True

    def make_scheduler(self):
        config = model_config()
        config.dynamic_batching.SetInParent()
        return DynamicScheduler(scheduler_context(config))


class TestWithPriorities(SchedulerSuite):
    lends_instances = True

    def make_scheduler(self):
        config = model_config()
        config.dynamic_batching.priority_levels = config.dynamic_batching.default_priority_level = 2
        return DynamicScheduler(scheduler_context(config))


class TestWithDelay(SchedulerSuite):
    @pytest.fixture(autouse=True)
    def closed_clock(self, no_surviving_threads):
        self.clock = Clock()
        yield
        self.clock.close()

    def make_scheduler(self):
        config = model_config()
        config.dynamic_batching.max_queue_delay_microseconds = 100
        return DynamicScheduler(scheduler_context(config, clock=self.clock))


class TestInOrder(SchedulerSuite):
    def make_scheduler(self):
        config = model_config()
        config.dynamic_batching.preserve_ordering = True
        return DynamicScheduler(scheduler_context(config))


class Answers:
    """A request's sink: what it was answered."""

    def __init__(self):
        self.all = queue.SimpleQueue()

    def request(self, name="", **options):
        """Make a request that is answered here."""
        return InferenceRequest("model", {"INPUT0": np.zeros((1, 16), np.float32)}, self.all.put, id=name, **options)

    def next(self):
        """Give the next response."""
        return self.all.get(timeout=PATIENCE_SECONDS)


@pytest.fixture
def clock():
    return VirtualClock()


def scheduler_of(dynamic_config, clock, section):
    return DynamicScheduler(scheduler_context(dynamic_config(section), clock=clock))


def test_delay_ends_while_an_instance_waits(dynamic_config, clock):
    """An instance that waits is handed the batch by the clock."""
    scheduler = scheduler_of(dynamic_config, clock, "max_queue_delay_microseconds: 5000")
    answers = Answers()
    with ThreadPoolExecutor(1) as instances:
        scheduler.enqueue(answers.request("first"))
        batch = instances.submit(scheduler.next_batch, "only")
        scheduler.enqueue(answers.request("second"))
        clock.advance(0.0049)
        assert scheduler.pending == 2
        while not batch.done():  # its thread may come to wait only now
            clock.advance(0.0002)
    formed = batch.result(PATIENCE_SECONDS)
    assert [request.id for request in formed.requests] == ["first", "second"]
    assert formed.reason == "delay_over"


def test_time_out_is_told_without_any_instance(dynamic_config, clock):
    """A request whose time is over is refused at once, though nobody asks for work."""
    section = "default_queue_policy { default_timeout_microseconds: 1000 }"
    scheduler = scheduler_of(dynamic_config, clock, section)
    answers = Answers()
    scheduler.enqueue(answers.request())
    clock.advance(0.0009)
    assert scheduler.pending == 1
    clock.advance(0.0001)
    assert scheduler.pending == 0
    error = answers.next().error
    assert isinstance(error, UnavailableError)
    assert str(error) == "Request timeout expired"


def test_earlier_time_out_moves_the_alarm(dynamic_config, clock):
    """A request that may wait for less than those before it is refused at its own time."""
    section = "default_queue_policy { default_timeout_microseconds: 9000 allow_timeout_override: true }"
    scheduler = scheduler_of(dynamic_config, clock, section)
    patient, hasty = Answers(), Answers()
    scheduler.enqueue(patient.request())
    scheduler.enqueue(hasty.request(timeout_us=1000))
    clock.advance(0.001)
    assert hasty.next().error is not None
    assert scheduler.pending == 1
    clock.advance(0.008)
    assert patient.next().error is not None


def test_cancelled_request_is_answered_when_it_is_found(dynamic_config, clock):
    """A request that was cancelled in the queue is answered so, and not given out."""
    scheduler = scheduler_of(dynamic_config, clock, "")
    gone, there = Answers(), Answers()
    first = gone.request()
    scheduler.enqueue(first)
    first.cancel()
    scheduler.enqueue(there.request("there"))
    assert [request.id for request in scheduler.next_batch("only").requests if not request.cancelled] == ["there"]


def test_close_holds_nobody_back(dynamic_config, clock):
    """What waits for others when the model is unloaded is executed at once."""
    scheduler = scheduler_of(dynamic_config, clock, "max_queue_delay_microseconds: 5000")
    scheduler.enqueue(Answers().request())
    scheduler.close()
    assert scheduler.next_batch("only").reason == "closed"
    assert scheduler.next_batch("only") is None


def test_instances_are_not_lent_where_requests_are_held_back(dynamic_config, clock):
    """With a delay each request waits for others, also one that comes in the caller's own thread."""
    scheduler = scheduler_of(dynamic_config, clock, "max_queue_delay_microseconds: 5000")
    assert scheduler.ready_batch("only") is None
    scheduler.enqueue(Answers().request())
    assert scheduler.ready_batch("only") is None
    clock.advance(0.005)
    assert scheduler.ready_batch("only").reason == "delay_over"
    assert scheduler.borrow() is None


@pytest.fixture
def served(model_repository, server, dynamic_config):
    """Give the function that serves one model of the arithmetic backend under a section."""

    def start(section, *, instance_count=1, **parameters):
        config = dynamic_config(
            section,
            outputs=(("OUTPUT0", "FP32", [-1]),),
            instance_count=instance_count,
            parameters={key: str(value) for key, value in parameters.items()},
        )
        write_model(model_repository, config)
        plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_scheduler_dynamic])
        return server(model_repository, plugins=plugins)

    return start


def submit(server, value, answers, **options):
    """Submit a request whose one element is `value`."""
    request = InferenceRequest("model", {"INPUT0": np.full((1, 1), value, np.float32)}, answers.all.put, **options)
    server.submit(request)
    return request


def test_batches_are_counted_with_their_reasons(served):
    """Requests that wait together are executed together, each gets its own answer, and the statistics tell why."""
    server = served("", gate="held", scale=2)
    answers = [Answers() for _ in range(6)]
    with Gate("held") as gate:
        submit(server, 0, answers[0])
        gate.wait_entered()
        for value in range(1, 6):
            submit(server, value, answers[value])
    assert [float(answer.next()["OUTPUT0"][0, 0]) for answer in answers] == [0, 2, 4, 6, 8, 10]
    [statistics] = server.statistics("model")
    assert statistics.counters.batch_reasons == {"queue_empty": 2}
    assert sorted(statistics.counters.batches) == [1, 5]


def test_cancelled_request_is_not_executed(served):
    """A request that is cancelled in a batch formed ahead, or in the queue, is answered so, and never executed."""
    server = served("preferred_batch_size: [1]", gate="held")
    answers = [Answers() for _ in range(3)]
    with Gate("held") as gate:
        submit(server, 0, answers[0])
        gate.wait_entered()
        requests = [submit(server, value, answers[value]) for value in (1, 2)]
        for request in requests:
            request.cancel()
    assert answers[0].next().error is None
    assert isinstance(answers[1].next().error, CancelledError)
    assert isinstance(answers[2].next().error, CancelledError)
    [statistics] = server.statistics("model")
    assert statistics.counters.execution_count == 1


def test_unload_finishes_what_is_held_back(served):
    """Requests that wait for others to join them are answered when the model goes."""
    server = served("max_queue_delay_microseconds: 50000")
    answers = Answers()
    submit(server, 3, answers)
    server.unload("model")
    assert float(answers.next()["OUTPUT0"][0, 0]) == 3


@pytest.mark.parametrize("section", ["", "preserve_ordering: true", "max_queue_delay_microseconds: 100"])
def test_caller_in_process_is_answered(served, section):
    """A call in process gets its answer, whether it can borrow an instance or not."""
    server = served(section, scale=3)
    assert server.model("model").infer({"INPUT0": [[1, 2]]})["OUTPUT0"].tolist() == [[3, 6]]


def test_two_instances_answer_in_order(served):
    """With preserve_ordering a response waits for those of the requests before it, which another instance makes."""
    server = served("preserve_ordering: true preferred_batch_size: [1]", instance_count=2, gate="held")
    order = queue.SimpleQueue()

    def ask(value):
        request = InferenceRequest(
            "model",
            {"INPUT0": np.full((1, 1), value, np.float32)},
            lambda response: order.put((value, float(response["OUTPUT0"][0, 0]))),
        )
        server.submit(request)

    with Gate("held") as gate:
        ask(0)
        gate.wait_entered()
        ask(1)
        gate.wait_entered()
        for value in range(2, 8):
            ask(value)
    assert [order.get(timeout=PATIENCE_SECONDS) for _ in range(8)] == [(value, value) for value in range(8)]
    [statistics] = server.statistics("model")
    assert statistics.counters.success.count == 8
    assert statistics.counters.queue.ns > 0

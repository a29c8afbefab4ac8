"""The rate limiter before a scheduler: the standard tests of schedulers, and servers that are limited."""

from __future__ import annotations

import inspect
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.backend import Execution, LoadedModel, ModelContext
from charonia.deadline import Deadline
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import RepositoryError
from charonia.instances import Instances
from charonia.limited_scheduler import LimitedScheduler
from charonia.model import Model
from charonia.plugins import Plugins
from charonia.promptness import Promptness
from charonia.rate_limiter import RateLimiter, ResourceLimit
from charonia.request import InferenceRequest, InferenceResponse
from charonia.scheduler import Scheduler
from charonia.statistics import ModelStatistics
from charonia.testing.builders import model_config, scheduler_context, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia.testing.patience import wait_until
from charonia.testing.scheduler_suite import SchedulerSuite
from charonia.warmup import WarmupSample

X = np.ones((1, 16), np.float32)
INSTANCES = ["only", "other", 0, 1, 2]


class TestLimitedScheduler(SchedulerSuite):
    """The standard tests, with as much as all instances need together."""

    lends_instances = True

    def make_scheduler(self):
        return self.make_attached(INSTANCES)

    def make_attached(self, instances):
        config = limited("model", instances=len(instances), shared=False)
        limiter = RateLimiter([ResourceLimit("R", len(instances))])
        scheduler = LimitedScheduler(DefaultScheduler(scheduler_context(config)), limiter)
        scheduler.attach(instances)
        return scheduler


def test_it_passes_everything_on():
    """What schedulers can do is asked of the one behind, whatever the interface becomes."""
    interface = {name for name, _ in inspect.getmembers(Scheduler) if not name.startswith("_")}
    assert interface - vars(LimitedScheduler).keys() == {"answers_itself", "ready_batch"}


def limited(name, count=1, *, instances=1, shared=True, resource="R", gate="", priority=0):
    """A model whose instances need `count` of the resource each."""
    config = model_config(name, parameters={"gate": gate})
    group = config.instance_group.add(kind="KIND_CPU", count=instances)
    group.rate_limiter.priority = priority
    group.rate_limiter.resources.add(name=resource, count=count, **{"global": shared})
    return config


@pytest.fixture
def serve(tmp_path):
    """Start a server of some models: `serve(config, …, limits)`; closed at the end."""
    servers = []

    def start(*configs, limits=(), rate_limit="execution_count"):
        for config in configs:
            write_model(tmp_path, config)
        options = ServerOptions(rate_limit=rate_limit, rate_limit_resource=limits)
        server = Server(tmp_path, options=options, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        assert server.close()


def test_models_that_share_a_resource_take_turns(serve):
    """While one model has what another needs, that one waits, and a third that needs none does not."""
    with Gate("held") as gate, ThreadPoolExecutor(3) as callers:
        server = serve(limited("first", gate="held"), limited("second"), limited("free", resource="S"))
        first = callers.submit(server.model("first").infer, {"INPUT0": X})
        gate.wait_entered()
        second = callers.submit(server.model("second").infer, {"INPUT0": X})
        assert server.model("free").infer({"INPUT0": X})["OUTPUT0"].shape == (1, 16)
        assert not second.done()
        gate.open()
        first.result(30)
        assert second.result(30)["OUTPUT0"].shape == (1, 16)


def test_a_model_of_low_priority_comes_between_only_so_often(serve):
    """Of models with one instance each that have work all the time, one of priority 2 gets half as many turns."""
    ended = queue.SimpleQueue()
    with Gate("held") as gate:
        server = serve(limited("first", gate="held"), limited("low", priority=2), limited("high", priority=1))
        server.submit(InferenceRequest("first", {"INPUT0": X}, lambda response: None))
        gate.wait_entered()
        for name in ["low"] * 4 + ["high"] * 4:
            server.submit(InferenceRequest(name, {"INPUT0": X}, lambda response, name=name: ended.put(name)))
        wait_until(lambda: [server.statistics(name)[0].counters.pending for name in ("low", "high")] == [4, 4])
        gate.open()
        order = [ended.get(timeout=30) for _ in range(8)]
    assert order[:6].count("high") == 4


def test_who_waits_for_a_resource_is_told_as_pending(serve):
    """A request that an instance has taken, and cannot execute yet, awaits execution, as in the reference."""

    def pending():
        (told,) = server.statistics("second")
        return told.counters.pending

    with Gate("held") as gate, ThreadPoolExecutor(3) as callers:
        server = serve(limited("first", gate="held"), limited("second"))
        calls = [callers.submit(server.model("first").infer, {"INPUT0": X})]
        gate.wait_entered()
        calls += [callers.submit(server.model("second").infer, {"INPUT0": X}) for _ in range(2)]
        wait_until(lambda: pending() == 2)
        gate.open()
        for call in calls:
            call.result(30)
        assert pending() == 0


@pytest.mark.parametrize("last", [0, 1])
def test_an_instance_that_waits_does_not_hold_up_the_others_of_its_model(serve, last):
    """Work that one instance cannot begin goes to another one that can, whichever the scheduler chose."""
    mixed = limited("mixed")
    mixed.instance_group.add(kind="KIND_CPU", count=1)
    if last == 0:
        mixed.instance_group.reverse()
    with Gate("held") as gate, ThreadPoolExecutor(2) as callers:
        server = serve(limited("first", gate="held"), mixed)
        first = callers.submit(server.model("first").infer, {"INPUT0": X})
        gate.wait_entered()
        for value in range(50):
            answers = queue.SimpleQueue()
            server.submit(InferenceRequest("mixed", {"INPUT0": X * value}, answers.put))
            assert answers.get(timeout=30)["OUTPUT0"][0, 0] == value
        assert not first.done()
        gate.open()
        first.result(30)


def test_off_means_ignored(serve):
    """Without the option, the section changes nothing, even one that could never be satisfied."""
    with Gate("held") as gate, ThreadPoolExecutor(1) as callers:
        server = serve(
            limited("first", gate="held"),
            limited("second", shared=False),
            limits=[ResourceLimit("R", 0)],
            rate_limit="off",
        )
        first = callers.submit(server.model("first").infer, {"INPUT0": X})
        gate.wait_entered()
        assert server.model("second").infer({"INPUT0": X})["OUTPUT0"].shape == (1, 16)
        gate.open()
        first.result(30)


def test_limit_lets_as_many_execute_as_it_says(serve):
    """Of three instances that need one each, two execute where there are two; the third request waits for its turn."""
    with Gate("held") as gate, ThreadPoolExecutor(3) as callers:
        server = serve(limited("model", instances=3, gate="held"), limits=[ResourceLimit("R", 2)])
        calls = [callers.submit(server.model("model").infer, {"INPUT0": X}) for _ in range(3)]
        gate.wait_entered()
        gate.wait_entered()
        assert gate._entered.empty()
        gate.open()
        for call in calls:
            call.result(30)


def test_too_little_fails_the_load_in_the_references_words(serve):
    """A model that could never execute is not served, and the index says why."""
    with pytest.raises(RepositoryError, match='"R" is limited to 1 which will prevent'):
        serve(limited("greedy", 2), limited("modest"), limits=[ResourceLimit("R", 1)])


def test_a_failed_load_gives_its_place_up(serve, tmp_path):
    """What a model that failed to load would have needed does not count for others; nor does one that is unloaded."""
    broken = limited("broken", shared=False)
    broken.model_warmup.add(name="w", batch_size=1)
    write_model(tmp_path, broken)
    with pytest.raises(RepositoryError, match="broken"):
        serve(limited("first", shared=False))
    server = serve(limited("first", shared=False), limited("broken", shared=False))
    server.unload("first")
    server.unload("broken")
    write_model(tmp_path, limited("first"))
    assert server._models.wait(Deadline(30))
    server.load("first")
    assert server.model("first").infer({"INPUT0": X})["OUTPUT0"].shape == (1, 16)


def test_reload_while_executing(serve):
    """A model is replaced while the old version still executes; the new one has its turn then, and both answer."""
    with Gate("held") as gate, ThreadPoolExecutor(2) as callers:
        server = serve(limited("model", gate="held"))
        first = callers.submit(server.model("model").infer, {"INPUT0": X})
        gate.wait_entered()
        server.load("model")
        second = callers.submit(server.model("model").infer, {"INPUT0": X})
        gate.open()
        first.result(30)
        second.result(30)


class Late(Execution):
    """Answers when the test says so; whether the computing goes on until then, too, is the class's."""

    answers_late = True
    outlasts = True

    def __init__(self, context):
        super().__init__(context)
        self.begun = queue.SimpleQueue()

    def execute(self, batch):
        if self.outlasts:
            batch.outlast()
        self.begun.put(batch)

    def finish(self, order):
        """Take the batch that is in progress, answer it, and end it."""
        batch = self.begun.get(timeout=30)
        order.append(self.context.model.name)
        batch.respond_all([InferenceResponse({"OUTPUT0": X})])
        batch.end()


class OnlyAnswersLate(Late):
    outlasts = False


class Weights(LoadedModel):
    def __init__(self, context, execution):
        super().__init__(context)
        self.execution = execution

    def instantiate(self, context):
        self.execution = self.execution(context)
        return self.execution


@pytest.fixture
def limiter():
    return RateLimiter()


def wait_for_a_waiter(limiter):
    """Wait until some instance waits for what others hold."""
    wait_until(lambda: limiter._precedence._waiting)


@pytest.fixture
def limited_model(limiter):
    """Make models of one limiter: `limited_model(execution, config)` gives the model, its execution, and its new instances."""
    models = []

    def make(execution, config):
        context = ModelContext(config.name, 1, Path(), config)
        statistics, scheduler = (
            ModelStatistics(),
            LimitedScheduler(DefaultScheduler(scheduler_context(config)), limiter),
        )
        loaded = Weights(context, execution)
        instances = Instances(loaded, scheduler, statistics, Promptness())
        model = Model(config, 1, loaded=loaded, scheduler=scheduler, instances=instances, statistics=statistics)
        models.append(model)
        lineup = model.prepare(context)
        return model, loaded.execution, lineup

    yield make
    for model in models:
        assert model.close(30)


def send(model, answers):
    """Submit a request, as a frontend does: executed here if that does not make it wait."""
    request = InferenceRequest(model.name, {"INPUT0": X}, answers.put)
    assert not model.submit_direct(request)
    model.submit(request)


def test_an_execution_that_goes_on_keeps_what_it_needs(limiter, limited_model):
    """What is in progress after `execute` has returned holds its resources to its end; its instance takes nothing else meanwhile."""
    (late, execution, one), (other, next_one, two) = (limited_model(Late, limited(name)) for name in ("late", "other"))
    late.use(one)
    other.use(two)
    order, answers = [], queue.SimpleQueue()
    send(late, answers)
    execution.begun.put(execution.begun.get(timeout=30))
    send(other, answers)
    wait_for_a_waiter(limiter)
    assert next_one.begun.empty()
    execution.finish(order)
    next_one.finish(order)
    for _ in range(2):
        send(late, answers)
    for _ in range(2):
        execution.finish(order)
    assert order == ["late", "other", "late", "late"]
    assert all(answers.get(timeout=30).error is None for _ in order)


def test_an_answer_that_comes_late_keeps_nothing(limited_model):
    """As in the reference, a model that only answers later gives its resources back when `execute` returns."""
    late, execution, lineup = limited_model(OnlyAnswersLate, limited("late"))
    late.use(lineup)
    answers = queue.SimpleQueue()
    for _ in range(3):
        send(late, answers)
    batches = [execution.begun.get(timeout=30) for _ in range(3)]
    for batch in batches:
        batch.respond_all([InferenceResponse({"OUTPUT0": X})])
        assert answers.get(timeout=30).error is None


def test_warm_up_waits_for_its_turn(limiter, limited_model):
    """As in the reference, an instance warms up only while it holds what it needs."""
    busy, execution, lineup = limited_model(Late, limited("busy"))
    busy.use(lineup)
    new, warming, joining = limited_model(Late, limited("new"))
    order, answers = [], queue.SimpleQueue()
    send(busy, answers)
    execution.begun.put(execution.begun.get(timeout=30))
    with ThreadPoolExecutor(2) as threads:
        warm = threads.submit(new.warm_up, [WarmupSample("w", 1, 2, {"INPUT0": X})], joining)
        wait_for_a_waiter(limiter)
        assert warming.begun.empty()
        execution.finish(order)
        for _ in range(2):
            warming.finish(order)
        warm.result(30)
        new.use(joining)
        send(busy, answers)
        execution.finish(order)
    assert order == ["busy", "new", "new", "busy"]

"""Another number of instances for a model that serves: nothing is loaded anew, nobody loses a request, nothing is left behind."""

from __future__ import annotations

import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.backend import ArrayExecution, Backend, Execution, LoadedModel
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import InvalidArgumentError
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins
from charonia.rate_limiter import ResourceLimit
from charonia.request import InferenceRequest, InferenceResponse
from charonia.testing.builders import model_config, write_model
from charonia.testing.patience import PATIENCE_SECONDS, wait_until
from google.protobuf import json_format

MODULE = "charonia_test_instances"
INPUTS = {"INPUT0": np.ones((1, 16), np.float32)}


class Record:
    """What happened to the models of a test, and what is to happen."""

    def __init__(self):
        self.loads = 0
        self.made = []
        self.open = set()
        self.executed = queue.SimpleQueue()
        self.closed = queue.SimpleQueue()
        self.entered = queue.SimpleQueue()
        self.gate = None
        self.most = 100
        self.late = queue.SimpleQueue()

    def close(self, execution):
        self.open.remove(execution)
        self.closed.put(execution.context.name)


class Noted:
    """Makes a note of how an execution begins and ends."""

    def __init__(self, context, record):
        super().__init__(context)
        self.record = record
        record.made.append(context.name)
        record.open.add(self)

    def close(self):
        self.record.close(self)


class Echo(Noted, ArrayExecution):
    def run(self, inputs):
        assert self in self.record.open
        self.record.executed.put(self.context.name)
        if self.record.gate is not None:
            self.record.entered.put(self.context.name)
            assert self.record.gate.wait(PATIENCE_SECONDS)
        return {"OUTPUT0": inputs["INPUT0"]}


class Late(Noted, Execution):
    """Answers when the test does it."""

    answers_late = True

    def execute(self, batch):
        for request in batch.requests:
            self.record.late.put(request)


class Weights(LoadedModel):
    record: Record

    def instantiate(self, context):
        if len(self.record.open) >= self.record.most:
            raise ValueError("there is no room for another instance")
        decoupled = self.context.config.model_transaction_policy.decoupled
        return (Late if decoupled else Echo)(context, self.record)


class Noting(Backend):
    record: Record

    def load(self, context):
        self.record.loads += 1
        return Weights(context)


class Rigid(DefaultScheduler):
    resizable = False


class NotingPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"noting": f"{MODULE}:Noting"}

    @hookimpl
    def charonia_schedulers(self):
        return {"rigid": f"{MODULE}:Rigid"}


@pytest.fixture
def record(monkeypatch):
    record = Record()
    module = ModuleType(MODULE)
    module.Noting, module.Rigid = Noting, Rigid
    monkeypatch.setitem(sys.modules, MODULE, module)
    for kind in (Noting, Weights):
        monkeypatch.setattr(kind, "record", record, raising=False)
    return record


@pytest.fixture(params=[0, 1 << 40], ids=["unlimited", "memory budget"])
def serve(tmp_path, record, request):
    """Start a server of the model "m" with some instances; closed at the end, and with it every execution."""
    servers = []

    def start(config, **options):
        write_model(tmp_path, config)
        options.setdefault("model_control_mode", "explicit")
        server = Server(
            tmp_path,
            options=ServerOptions(load_model=["m"], memory_budget=request.param, **options),
            plugins=Plugins(entry_points=(), extra=[NotingPlugin()]),
        )
        servers.append(server)
        server.start()
        return server

    yield start
    if record.gate is not None:
        record.gate.set()
    for server in servers:
        assert server.close()
    assert not record.open


def noting(count=1, **options):
    return model_config("m", backend="noting", instance_count=count, **options)


def become(server, config):
    server.load("m", config=json_format.MessageToJson(config))


def ask(server, pool, count):
    """Have requests executed, which stop at the gate; gives their futures."""
    return [pool.submit(server.model("m").infer, INPUTS) for _ in range(count)]


def test_growth_loads_nothing_anew(serve, record):
    """New instances stand beside the one that serves, with the same weights; all of them serve, and the configuration says so."""
    server = serve(noting())
    model = server.get("m")
    become(server, noting(3))
    assert server.get("m") is model
    assert (record.loads, record.made) == (1, ["m_0_0", "m_0_1", "m_0_2"])
    assert server.model_config("m").instance_group[0].count == 3
    record.gate = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        answers = ask(server, pool, 3)
        assert {record.entered.get(timeout=PATIENCE_SECONDS) for _ in range(3)} == {"m_0_0", "m_0_1", "m_0_2"}
        record.gate.set()
        assert all(answer.result(PATIENCE_SECONDS)["OUTPUT0"].any() for answer in answers)


def test_surplus_instance_finishes_what_it_has(serve, record):
    """One that executes is closed when it has answered, and not before; one that waits is closed at once."""
    server = serve(noting(3))
    record.gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        answers = ask(server, pool, 2)
        busy = {record.entered.get(timeout=PATIENCE_SECONDS) for _ in range(2)}
        become(server, noting(1))
        idle = {"m_0_0", "m_0_1", "m_0_2"} - busy
        for name in idle - {"m_0_0"}:
            assert record.closed.get(timeout=PATIENCE_SECONDS) == name
        assert {execution.context.name for execution in record.open} >= busy
        record.gate.set()
        for answer in answers:
            answer.result(PATIENCE_SECONDS)
    for _ in busy - {"m_0_0"}:
        assert record.closed.get(timeout=PATIENCE_SECONDS) in busy
    assert [execution.context.name for execution in record.open] == ["m_0_0"]
    assert record.loads == 1
    assert server.model("m").infer(INPUTS)["OUTPUT0"].any()


def test_no_request_is_lost(serve, record):
    """While the number goes up and down, callers in their own threads and through the queue are all answered."""
    server = serve(noting(2))
    stop = threading.Event()

    def call():
        count = 0
        while not (count and stop.is_set()):
            answers = queue.SimpleQueue()
            server.submit(InferenceRequest("m", INPUTS, answers.put))
            assert answers.get(timeout=PATIENCE_SECONDS).error is None
            assert server.model("m").infer(INPUTS)["OUTPUT0"].any()
            count += 1
        return count

    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(call) for _ in range(4)]
        try:
            for count in [3, 1, 4, 2, 1, 2] * 8:
                become(server, noting(count))
        finally:
            stop.set()
        assert all(future.result(PATIENCE_SECONDS) for future in calls)
    assert record.loads == 1
    assert server.model_config("m").instance_group[0].count == 2


def test_failed_growth_keeps_what_serves(serve, record):
    """Where one of the new instances cannot be made, the others are closed, the index has the reason, and all is as before."""
    server = serve(noting())
    record.most = 2
    with pytest.raises(InvalidArgumentError, match="there is no room for another instance"):
        become(server, noting(3))
    assert record.closed.get(timeout=PATIENCE_SECONDS) == "m_0_1"
    (row,) = server.index()
    assert (row.state, "there is no room" in row.reason) == ("READY", True)
    assert server.model_config("m").instance_group[0].count == 1
    assert server.model("m").infer(INPUTS)["OUTPUT0"].any()
    record.most = 3
    become(server, noting(3))
    assert record.loads == 1
    assert server.index()[0].reason == ""


def test_growth_of_one_version_fails_for_all(serve, record, tmp_path):
    """The instances that another version has got meanwhile are closed again."""
    (tmp_path / "m" / "2").mkdir(parents=True)
    (tmp_path / "m" / "1").mkdir()
    both = noting()
    both.version_policy.all.SetInParent()
    server = serve(both)
    assert len(record.open) == 2
    record.most = 3
    more = noting(2)
    more.version_policy.all.SetInParent()
    with pytest.raises(InvalidArgumentError, match="version 2 is at UNAVAILABLE state"):
        become(server, more)
    assert len(record.open) == 2
    assert [server.model_config("m", version).instance_group[0].count for version in (1, 2)] == [1, 1]


def test_new_instances_are_warm(serve, record):
    """The samples of the configuration are executed on new instances only, before they serve; one that fails fails the growth."""

    def warmed(count):
        config = noting(count)
        sample = config.model_warmup.add(name="zeros", batch_size=1)
        sample.inputs["INPUT0"].data_type = 11
        sample.inputs["INPUT0"].dims.append(16)
        sample.inputs["INPUT0"].zero_data = True
        return config

    server = serve(warmed(1))
    assert record.executed.get_nowait() == "m_0_0"
    become(server, warmed(3))
    assert [record.executed.get_nowait() for _ in range(2)] == ["m_0_1", "m_0_2"]
    assert record.executed.empty()


def test_instance_waits_for_its_late_answers(serve, record):
    """One whose requests are answered after `execute` has returned is closed once they are."""
    server = serve(noting(2, decoupled=True))
    answers = queue.SimpleQueue()
    for _ in range(2):
        server.submit(InferenceRequest("m", INPUTS, answers.put))
    late = [record.late.get(timeout=PATIENCE_SECONDS) for _ in range(2)]
    become(server, noting(1, decoupled=True))
    threads = [thread for thread in threading.enumerate() if thread.name == "charonia-instance-m_0_1"]
    assert len(record.open) == 2
    for request in late:
        request.respond(InferenceResponse())
        answers.get(timeout=PATIENCE_SECONDS)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert [execution.context.name for execution in record.open] == ["m_0_0"]


def test_close_waits_for_an_instance_that_leaves(serve, record):
    """A server that is closed meanwhile joins it, and its request is answered."""
    server = serve(noting(2))
    record.gate = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        answers = ask(server, pool, 2)
        for _ in range(2):
            record.entered.get(timeout=PATIENCE_SECONDS)
        become(server, noting(1))
        closing = pool.submit(server.close)
        record.gate.set()
        assert closing.result(PATIENCE_SECONDS)
        assert all(answer.result(PATIENCE_SECONDS)["OUTPUT0"].any() for answer in answers)


def test_poll_changes_the_number_in_place(serve, record, tmp_path):
    """A new number in the stored configuration is enough."""
    server = serve(noting(), model_control_mode="poll", repository_poll_secs=3600.0, repository_settle_secs=0.0)
    write_model(tmp_path, noting(2))
    wait_until(lambda: server.model_config("m").instance_group[0].count == 2)
    assert len(record.open) == 2
    assert record.loads == 1


def test_more_than_the_number_loads_anew(serve, record):
    """Instances of another kind, a parameter, and a scheduler that cannot change their number need another model."""
    server = serve(noting())
    passive = noting()
    passive.instance_group.add(kind="KIND_CPU", count=1, passive=True)
    become(server, passive)
    assert record.loads == 2
    become(server, noting(2, parameters={"scheduler": "rigid"}))
    assert record.loads == 3
    become(server, noting(3, parameters={"scheduler": "rigid"}))
    assert record.loads == 4


def test_other_name_of_the_group_does_nothing(serve, record):
    """As in the reference, the instances stay, and only the configuration has the new name."""
    server = serve(noting(2))
    renamed = noting(2)
    renamed.instance_group[0].name = "other"
    become(server, renamed)
    assert (record.loads, len(record.made)) == (1, 2)
    assert server.model_config("m").instance_group[0].name == "other"


def test_passive_instances_come_and_go(serve, record):
    """Those that do not serve are made and closed, too."""

    def passive(count):
        config = noting()
        config.instance_group.add(kind="KIND_CPU", count=count, passive=True)
        return config

    server = serve(passive(1))
    become(server, passive(2))
    assert len(record.open) == 3
    become(server, passive(1))
    assert record.closed.get_nowait() == "m_1_1"
    assert record.loads == 1


def test_number_of_instances_under_the_rate_limiter(serve, record):
    """New instances take part in it, and one that leaves gives back what it holds."""

    def limited(count):
        config = noting(count)
        config.instance_group[0].rate_limiter.resources.add(name="R", count=1)
        return config

    server = serve(limited(1), rate_limit="execution_count", rate_limit_resource=[ResourceLimit("R", 2)])
    become(server, limited(3))
    record.gate = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        answers = ask(server, pool, 3)
        first = {record.entered.get(timeout=PATIENCE_SECONDS) for _ in range(2)}
        assert len(first) == 2
        assert record.entered.empty()
        become(server, limited(1))
        record.gate.set()
        for answer in answers:
            assert answer.result(PATIENCE_SECONDS)["OUTPUT0"].any()
    for _ in range(20):
        assert server.model("m").infer(INPUTS)["OUTPUT0"].any()
    assert record.loads == 1


def test_version_policy_is_shown_as_it_is_now(serve):
    """A version that stays shows the policy by which it does."""
    server = serve(noting())
    latest = noting()
    latest.version_policy.latest.num_versions = 3
    become(server, latest)
    assert server.model_config("m").version_policy.latest.num_versions == 3

"""A server with a memory budget: models come at their first request and go when others need the room, and nobody notices."""

from __future__ import annotations

import asyncio
import json
import queue
import random
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.errors import CancelledError, InvalidArgumentError, NotFoundError, RepositoryError, UnavailableError
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, write_model
from charonia.testing.patience import wait_until

MODULE = "charonia_test_memory_budget"
TENSORS = {
    "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [16]}],
    "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [16]}],
}
ROW = np.arange(16, dtype=np.float32)[None]


class Memory:
    """What the models of a test take together, and the gates at which loads and executions wait."""

    def __init__(self):
        self.lock = threading.Lock()
        self.taken = 0
        self.most = 0
        self.loads = []
        self.load_gate = None
        self.run_gates = {}
        self.entered = queue.SimpleQueue()
        self.broken = set()

    def take(self, byte_size):
        with self.lock:
            self.taken += byte_size
            self.most = max(self.most, self.taken)


class Echo(ArrayExecution):
    memory: ClassVar[Memory]

    def run(self, inputs):
        gate = self.memory.run_gates.get(self.context.model.name)
        if gate is not None:
            self.memory.entered.put(self.context.model.name)
            assert gate.wait(30)
        return {"OUTPUT0": inputs["INPUT0"]}


class Weighty(LoadedModel):
    """Takes as many bytes as its file says."""

    memory: ClassVar[Memory]

    def __init__(self, context):
        super().__init__(context)
        self._byte_size = int(context.model_path.read_text())
        self.memory.take(self._byte_size)

    def instantiate(self, context):
        return Echo(context)

    @property
    def host_byte_size(self):
        return self._byte_size

    def close(self):
        self.memory.take(-self._byte_size)


class WeightyBackend(Backend):
    default_model_filename = "model.txt"
    memory: ClassVar[Memory]

    def load(self, context):
        self.memory.loads.append(context.name)
        if context.name in self.memory.broken:
            raise ValueError("broken")
        if self.memory.load_gate is not None:
            self.memory.entered.put(context.name)
            assert self.memory.load_gate.wait(30)
        return Weighty(context)


class WeightyPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"weighty": f"{MODULE}:WeightyBackend"}


@pytest.fixture
def memory(monkeypatch):
    memory = Memory()
    for kind in (Echo, Weighty, WeightyBackend):
        monkeypatch.setattr(kind, "memory", memory, raising=False)
    module = ModuleType(MODULE)
    module.WeightyBackend = WeightyBackend
    monkeypatch.setitem(sys.modules, MODULE, module)
    return memory


@pytest.fixture
def write(tmp_path):
    """Write a model that takes so many bytes, whose files are as large."""

    def one(name, byte_size, **config):
        files = {"1/model.txt": str(byte_size).ljust(byte_size)}
        write_model(tmp_path, model_config(name, backend="weighty", **config), files)

    return one


@pytest.fixture
def serve(tmp_path, memory):
    servers = []

    def start(budget, **options):
        plugins = Plugins(entry_points=(), extra=[WeightyPlugin()])
        server = Server(tmp_path, options=ServerOptions(memory_budget=budget, **options), plugins=plugins)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()
    assert memory.taken == 0


def ask(server, name):
    assert server.model(name).infer({"INPUT0": ROW})["OUTPUT0"].tolist() == ROW.tolist()


def send(server, name, **options):
    """Send a request without waiting for its answer; give it, and where the answer comes."""
    answers = queue.SimpleQueue()
    request = InferenceRequest(name, {"INPUT0": ROW}, answers.put, **options)
    server.submit(request)
    return request, answers


def resident(server):
    """The models that are in memory, by what the index says."""
    return {row.name for row in server.index() if row.host_byte_size}


def test_a_model_comes_at_its_first_request(serve, write, memory):
    """Before, it is ready, and everything can be told of it; what a request finds is the same as ever."""
    write("m", 100)
    server = serve(1000)
    assert server.ready
    assert server.model_ready("m")
    assert server.model_metadata("m").inputs[0].name == "INPUT0"
    assert server.model_config("m").max_batch_size == 8
    assert [(row.state, row.host_byte_size) for row in server.index()] == [("READY", 0)]
    assert memory.loads == []
    ask(server, "m")
    ask(server, "m")
    assert memory.loads == ["m"]
    assert [(row.state, row.host_byte_size) for row in server.index()] == [("READY", 100)]


def test_the_least_recently_used_goes(serve, write, memory):
    """When there is no room, the model goes that was not used for longest; its next request brings it back."""
    for name in "abc":
        write(name, 100)
    server = serve(250)
    for name in "abac":
        ask(server, name)
    assert resident(server) == {"a", "c"}
    ask(server, "b")
    assert resident(server) == {"b", "c"}
    assert memory.loads == ["a", "b", "c", "b"]
    assert memory.most == 200
    told = {family.name.removeprefix("charonia_memory_"): family.samples[0].value for family in server.metrics()}
    assert told == {"budget_bytes": 250, "counted_bytes": 200, "loads_total": 4, "evictions_total": 2}


def test_counters_go_on(serve, write):
    """What a model has done is not forgotten when it goes out of memory."""
    write("a", 100)
    write("b", 100)
    server = serve(100)
    for name in "abab":
        ask(server, name)
    counted = {told.name: told for told in server.statistics()}
    assert counted["a"].counters.success.count == 2
    assert counted["a"].running.execution_count == 2


@pytest.mark.parametrize("way", ["parameter", "load_model"])
def test_pinned_models_stay(serve, write, memory, way):
    """A model that is pinned is loaded at once, and never goes, however long it was not used."""
    by_parameter = way == "parameter"
    write("stays", 100, parameters={"pinned": "true"} if by_parameter else {})
    write("a", 100)
    write("b", 100)
    server = serve(200, **({} if by_parameter else {"model_control_mode": "explicit", "load_model": ["stays"]}))
    assert memory.loads == ["stays"]
    for name in "ab":
        if not by_parameter:
            server.load(name)
        ask(server, name)
    assert resident(server) == {"stays", "b"}


def test_all_may_be_loaded_without_being_pinned(serve, write, memory):
    """In the control mode explicit, * makes all models known, and names none."""
    for name in "abc":
        write(name, 100)
    server = serve(100, model_control_mode="explicit", load_model=["*"])
    assert memory.loads == []
    for name in "abc":
        ask(server, name)


def test_a_wrong_pin_is_told(serve, write):
    """The parameter is a switch."""
    write("m", 100, parameters={"pinned": "perhaps"})
    with pytest.raises(RepositoryError, match="parameter 'pinned' of model 'm' is 'perhaps': expected 0 or 1"):
        serve(1000)


def test_a_model_larger_than_the_budget_fails(serve, write):
    """The start says so; the others serve."""
    write("large", 1001)
    write("small", 10)
    server = serve(1000, exit_on_error=False)
    (row,) = [row for row in server.index() if row.name == "large"]
    assert row.reason == (
        "Unavailable: model 'large' version 1 takes 1001 bytes of memory, and the budget is 1000 bytes: raise --memory-budget, "
        "or serve the model elsewhere"
    )
    ask(server, "small")


def test_a_model_that_turns_out_to_be_larger_than_the_budget_is_refused(serve, write, tmp_path):
    """Where the files did not tell, the first request is told; the model does not stay."""
    write("m", 100)
    (tmp_path / "m/1/model.txt").write_text("1001")
    server = serve(1000)
    with pytest.raises(
        UnavailableError, match="model 'm' version 1 takes 1001 bytes of memory, and the budget is 1000"
    ):
        ask(server, "m")
    assert resident(server) == set()


def test_a_model_that_takes_more_than_thought_pushes_others_out(serve, write, tmp_path, memory):
    """What a load finds out is what is counted: another model goes before this one stays."""
    write("a", 100)
    write("b", 100)
    (tmp_path / "b/1/model.txt").write_text("150")
    server = serve(200)
    ask(server, "a")
    ask(server, "b")
    assert resident(server) == {"b"}
    assert memory.loads == ["a", "b", "b"]


def test_first_requests_load_once(serve, write, memory):
    """However many requests want a model that is not there, it is loaded once, and all are answered."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, server, "m") for _ in range(8)]
        assert memory.entered.get(timeout=30) == "m"
        memory.load_gate.set()
        for one in asked:
            one.result(30)
    assert memory.loads == ["m"]


async def test_an_event_loop_is_not_held_up(serve, write, memory):
    """While a model is loaded for a coroutine, the loop does other things."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    answer = asyncio.create_task(server.model("m").infer_async({"INPUT0": ROW}))
    await asyncio.to_thread(memory.entered.get, timeout=30)
    memory.load_gate.set()
    assert (await answer)["OUTPUT0"].shape == (1, 16)


def test_a_model_in_use_stays(serve, write, memory):
    """A load waits until a request of what takes the room has ended."""
    write("busy", 100)
    write("m", 100)
    server = serve(100)
    memory.run_gates["busy"] = threading.Event()
    _, first = send(server, "busy")
    assert memory.entered.get(timeout=30) == "busy"
    _, second = send(server, "m")
    assert resident(server) == {"busy"}
    memory.run_gates["busy"].set()
    assert first.get(timeout=30).error is None
    assert second.get(timeout=30).error is None
    assert resident(server) == {"m"}


def test_who_waits_for_room_too_long_is_told(serve, write, memory):
    """The error is that it is not possible now, with when to ask again, and names what takes the room."""
    write("busy", 100)
    write("m", 100)
    server = serve(100, memory_wait_secs=0.01)
    memory.run_gates["busy"] = threading.Event()
    _, first = send(server, "busy")
    assert memory.entered.get(timeout=30) == "busy"
    with pytest.raises(UnavailableError) as refusal:
        ask(server, "m")
    assert refusal.value.retry_after_seconds == 1
    assert str(refusal.value) == (
        "model 'm' version 1 has no room in the memory budget of 100 bytes, since all that is loaded is in use or pinned: "
        "model 'busy' version 1. Ask again later, or raise --memory-budget"
    )
    memory.run_gates["busy"].set()
    assert first.get(timeout=30).error is None
    ask(server, "m")


@pytest.mark.parametrize("early", [True, False])
def test_who_went_away_has_nothing_loaded(serve, write, memory, early):
    """Where all requests that waited for a model were taken back, it is not loaded, and pushes nobody out."""
    write("busy", 100)
    write("m", 100)
    server = serve(100)
    memory.run_gates["busy"] = threading.Event()
    _, first = send(server, "busy")
    assert memory.entered.get(timeout=30) == "busy"
    request, answers = send(server, "m")
    if not early:
        wait_until(lambda: server._loader._budget._waiting)
    request.cancel()
    assert isinstance(answers.get(timeout=30).error, CancelledError)
    memory.run_gates["busy"].set()
    assert first.get(timeout=30).error is None
    assert memory.loads == ["busy"]


def test_a_time_out_ends_the_wait(serve, write, memory):
    """A request waits for a load no longer than it says itself; the load goes on for those that come."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    _, answers = send(server, "m", timeout_us=1000)
    error = answers.get(timeout=30).error
    assert isinstance(error, UnavailableError)
    assert str(error) == "request timed out after 1000 us, while its model was brought into memory"
    memory.load_gate.set()
    ask(server, "m")


def test_a_load_that_fails_is_told_for_a_while(serve, write, memory):
    """Who waits is told why; the model is not ready, and is not tried again at each request."""
    write("m", 100)
    memory.broken.add("m")
    server = serve(100)
    for _ in range(3):
        with pytest.raises(UnavailableError) as refusal:
            ask(server, "m")
        assert str(refusal.value) == (
            "model 'm' version 1 could not be brought into memory: Internal: ValueError: broken"
        )
        assert refusal.value.retry_after_seconds == 5
    assert memory.loads == ["m"]
    assert not server.model_ready("m")
    memory.broken.clear()
    server.load("m")
    ask(server, "m")


def test_a_load_by_name_is_made_at_once(serve, write, memory):
    """Whoever asks for a load gets a model that is in memory, or the reason; it goes later like any other."""
    write("a", 100)
    write("b", 100)
    server = serve(100, model_control_mode="explicit")
    server.load("a")
    assert resident(server) == {"a"}
    server.load("b")
    assert resident(server) == {"b"}
    ask(server, "a")
    memory.broken.add("b")
    with pytest.raises(InvalidArgumentError, match="version 1 is at UNAVAILABLE state: Internal: ValueError: broken"):
        server.load("b")
    server.load("a")
    assert memory.loads == ["a", "b", "a", "b", "a"]


@pytest.mark.parametrize("used", [True, False])
def test_an_unload_is_for_good(serve, write, memory, used):
    """A model that was unloaded comes at no request, whether it was in memory or not; a load brings it back."""
    write("m", 100)
    server = serve(100)
    if used:
        ask(server, "m")
    server.unload("m")
    with pytest.raises(NotFoundError):
        ask(server, "m")
    server.load("m")
    ask(server, "m")


def test_an_unload_lets_requests_finish_that_wait(serve, write, memory):
    """A request that waits for its model was accepted, and is answered though the model is unloaded."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    _, answers = send(server, "m")
    server.unload("m")
    memory.load_gate.set()
    assert answers.get(timeout=30).error is None


def test_a_reload_keeps_a_model_where_it_was(serve, write, memory):
    """What is in memory is replaced there, beside the old one; a model that is not stays out."""
    write("a", 100)
    write("b", 100)
    server = serve(200)
    ask(server, "a")
    for name in "ab":
        write(name, 100, max_batch_size=4)
    assert server._lifecycle.load_all("ab") == {}
    assert resident(server) == {"a"}
    assert memory.loads == ["a", "a"]
    assert server.model_config("b").max_batch_size == 4
    ask(server, "b")


def test_a_server_that_closes_finishes_what_waits(serve, write, memory):
    """A request that waits for a load when the server is closed is answered."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    _, answers = send(server, "m")
    assert memory.entered.get(timeout=30) == "m"
    threading.Timer(0, memory.load_gate.set).start()
    assert server.close()
    assert answers.get(timeout=30).error is None


def test_polling_makes_models_known(serve, write, memory, tmp_path):
    """A model that appears in a repository that is followed comes at its first request; one that goes takes nothing."""
    write("a", 100)
    server = serve(100, model_control_mode="poll", repository_poll_secs=0.05, repository_settle_secs=0)
    ask(server, "a")
    write("b", 100)
    wait_until(lambda: server.can_serve("b"))
    assert resident(server) == {"a"}
    ask(server, "b")
    shutil.rmtree(tmp_path / "b")
    wait_until(lambda: not server.can_serve("b") and memory.taken == 0)


def test_quick_models_are_quick_in_memory_only(serve, write, monkeypatch):
    """An event loop executes a request itself where the model has proved to be quick, and where that takes no load."""
    monkeypatch.setattr(Echo, "predictable", True)
    write("m", 100)
    write("other", 100)
    server = serve(100)
    answers = queue.SimpleQueue()

    def prompt():
        return server.submit_prompt(InferenceRequest("m", {"INPUT0": ROW}, answers.put))

    assert not prompt()
    while not prompt():
        ask(server, "m")
    assert answers.get_nowait().error is None
    ask(server, "other")
    assert not prompt()


def test_a_load_that_nobody_needs_any_more_leaves_nothing(serve, write, memory):
    """A model that is unloaded while it is loaded, for a request that has given up, goes as soon as it is there."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    while memory.entered.empty():  # the load begins before the request gives up, or another one has to want it
        _, answers = send(server, "m", timeout_us=10_000)
        assert isinstance(answers.get(timeout=30).error, UnavailableError)
    server.unload("m")
    memory.load_gate.set()
    wait_until(lambda: memory.taken == 0 and server.index()[0].state == "UNAVAILABLE")
    assert memory.loads == ["m"]


def test_loads_and_unloads_go_with_requests(serve, write, memory):
    """Whatever is loaded, loaded anew and unloaded meanwhile, a request is answered, or told that its model is unloaded."""
    names = [f"m{place}" for place in range(12)]
    for name in names:
        write(name, 100)
    server = serve(300, model_control_mode="explicit", load_model=["*"])

    def client(seed):
        choose = random.Random(seed)
        for name in choose.choices(names, k=150):
            with suppress(NotFoundError):
                ask(server, name)

    def operator(seed):
        choose = random.Random(seed)
        for name in choose.choices(names, k=40):
            if choose.random() < 0.3:
                server.unload(name)
            else:
                group = {"kind": "KIND_CPU", "count": choose.randint(1, 3)}  # often all that is different
                config = {"backend": "weighty", "max_batch_size": choose.choice([4, 8]), "instance_group": [group]}
                server.load(name, config=json.dumps({**config, **TENSORS}))

    with ThreadPoolExecutor(8) as pool:
        todo = [pool.submit(client, seed) for seed in range(6)] + [pool.submit(operator, seed) for seed in range(2)]
        for done in todo:
            done.result(120)
    assert memory.most <= 300
    for name in names:
        server.load(name)
        ask(server, name)


def test_two_hundred_models_share_room_for_twenty(serve, write, memory):
    """Whatever is asked, mostly of a few and at times of any, from several threads: no error, and never over the budget."""
    names = [f"m{place}" for place in range(200)]
    for name in names:
        write(name, 100, instance_count=1)
    server = serve(2000)
    weights = [1 / (rank + 1) for rank in range(200)]

    def client(seed):
        choose = random.Random(seed)
        for name in choose.choices(names, weights, k=250):
            ask(server, name)
            assert server._loader._budget.counted <= 2000

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(client, seed) for seed in range(8)]:
            done.result(120)
    assert memory.most <= 2000
    assert len(resident(server)) <= 20
    assert sum(told.counters.success.count for told in server.statistics()) == 8 * 250
    assert len(memory.loads) < 8 * 250

"""Other numbers of instances where memory is limited: the model stays where it is, and room is made for those that join."""

from __future__ import annotations

import queue
import sys
import threading
from types import ModuleType

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.errors import InvalidArgumentError
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, write_model
from google.protobuf import json_format

MODULE = "charonia_test_memory_of_instances"
ROW = np.ones((1, 16), np.float32)
WEIGHTS = INSTANCE = 100


class Echo(ArrayExecution):
    def __init__(self, context, loaded):
        super().__init__(context)
        self.loaded = loaded

    def run(self, inputs):
        if self.loaded.backend.gate is not None:
            self.loaded.backend.entered.put(self.context.model.name)
            assert self.loaded.backend.gate.wait(30)
        return {"OUTPUT0": inputs["INPUT0"]}

    def close(self):
        self.loaded.instances.remove(self)
        self.loaded.backend.closed.put(self.context.name)


class Weights(LoadedModel):
    """Weights of a hundred bytes, and a hundred more for each instance."""

    def __init__(self, context, backend):
        super().__init__(context)
        self.backend = backend
        self.instances = []
        backend.loads.append(context.name)

    def instantiate(self, context):
        self.instances.append(Echo(context, self))
        return self.instances[-1]

    @property
    def host_byte_size(self):
        return WEIGHTS + INSTANCE * len(self.instances)


class Greedy(Backend):
    """Keeps what happened, and the gate at which executions wait."""

    def __init__(self, settings):
        super().__init__(settings)
        self.loads = []
        self.gate = None
        self.entered = queue.SimpleQueue()
        self.closed = queue.SimpleQueue()

    def load(self, context):
        return Weights(context, self)


class GreedyPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"greedy": f"{MODULE}:Greedy"}


class Served:
    """A server of the models "a" and "b", with one instance each, and a memory budget."""

    def __init__(self, path, **options):
        for name in "ab":
            write_model(path, self.config(name))
        plugins = Plugins(entry_points=(), extra=[GreedyPlugin()])
        self.server = Server(path, options=ServerOptions(**options), plugins=plugins)
        self.server.start()
        self.backend = self.server._loader._backends.get("greedy", "a test")

    @staticmethod
    def config(name, count=1):
        return model_config(name, backend="greedy", instance_count=count)

    def become(self, name, count, load=None):
        (load or self.server.load)(name, config=json_format.MessageToJson(self.config(name, count)))

    def ask(self, *names):
        for name in names:
            assert self.server.model(name).infer({"INPUT0": ROW})["OUTPUT0"].any()

    @property
    def in_memory(self):
        return {row.name: row.host_byte_size for row in self.server.index() if row.host_byte_size}

    @property
    def counted(self):
        return self.server._loader._budget.counted


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start a server; closed at the end."""
    module = ModuleType(MODULE)
    module.Greedy = Greedy
    monkeypatch.setitem(sys.modules, MODULE, module)
    started = []

    def start(**options):
        started.append(Served(tmp_path, **options))
        return started[-1]

    yield start
    for served in started:
        assert served.server.close()
        assert served.counted == 0


def test_instances_join_and_go_in_place(serve):
    """The weights stay; what instances have taken is counted, and there for others when they have gone."""
    served = serve(memory_budget=500)
    served.ask("a")
    served.become("a", 3)
    assert (served.in_memory, served.counted) == ({"a": 400}, 400)
    served.ask("a")
    served.become("a", 1)
    assert {served.backend.closed.get(timeout=30) for _ in range(2)} == {"a_0_1", "a_0_2"}
    served.ask("b")
    assert (served.in_memory, served.counted) == ({"a": 200, "b": 200}, 400)
    served.ask("a")
    assert served.backend.loads.count("a") == 1


def test_a_model_that_is_out_of_memory_stays_there(serve, tmp_path):
    """Another number of instances in its file loads nothing; when it comes, it comes with as many."""
    served = serve(memory_budget=1000)
    write_model(tmp_path, served.config("a", 3))
    assert served.server._lifecycle.load_all("a") == {}
    assert (served.in_memory, served.backend.loads) == ({}, [])
    assert served.server.model_config("a").instance_group[0].count == 3
    served.ask("a")
    assert served.in_memory == {"a": 400}


def test_others_make_room_for_instances(serve):
    """A model that nobody uses goes, as it would for a load."""
    served = serve(memory_budget=500)
    served.ask("a", "b")
    served.become("a", 3)
    assert (served.in_memory, served.counted) == ({"a": 400}, 400)
    assert served.backend.loads == ["a", "b"]


def test_instances_without_room_are_refused(serve):
    """Where all others are in use, the load says so, and the model serves as before."""
    served = serve(memory_budget=500, memory_wait_secs=0.01)
    served.ask("a")
    served.backend.gate = threading.Event()
    answers = queue.SimpleQueue()
    served.server.submit(InferenceRequest("b", {"INPUT0": ROW}, answers.put))
    assert served.backend.entered.get(timeout=30) == "b"
    with pytest.raises(
        InvalidArgumentError, match="no room in the memory budget of 500 bytes, since all that is loaded"
    ):
        served.become("a", 3)
    served.backend.gate.set()
    assert answers.get(timeout=30).error is None
    assert (served.in_memory, served.counted) == ({"a": 200, "b": 200}, 400)
    assert served.server.model_config("a").instance_group[0].count == 1
    served.become("a", 2)
    served.ask("a", "b")
    assert served.backend.loads == ["a", "b"]


def test_another_kind_of_instances_is_a_load(serve, tmp_path):
    """What cannot be done in place is done beside what serves, and a model that is out of memory just takes it over."""
    served = serve(memory_budget=1000)
    served.ask("a")
    for name in "ab":
        config = served.config(name)
        config.instance_group[0].kind = config.instance_group[0].KIND_MODEL
        write_model(tmp_path, config)
        assert served.server._lifecycle.load_all(name) == {}
        served.ask(name)
    assert served.backend.loads == ["a", "a", "b"]
    assert served.backend.closed.get(timeout=30) == "a_0_0"  # of the one that was replaced
    assert served.in_memory == {"a": 200, "b": 200}

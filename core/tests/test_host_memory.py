"""How much memory models take: by their files, by the growth of the process, or as their backend knows, and where it is told."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from charonia import Server
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.hookspecs import hookimpl
from charonia.host_memory import GrowthMeter, files_byte_size, resident_byte_size
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model

MODULE = "charonia_test_host_memory"
MEBIBYTE = 1 << 20


class Echo(ArrayExecution):
    def run(self, inputs):
        return {"OUTPUT0": inputs["INPUT0"]}


class Heavy(LoadedModel):
    """Takes as much memory as the parameter `take` says, and knows it where the parameter `know` is there."""

    def __init__(self, context):
        super().__init__(context)
        self._weights = np.ones(int(context.config.parameters["take"].string_value or 0), np.uint8)

    def instantiate(self, context):
        return Echo(context)

    @property
    def host_byte_size(self):
        return self._weights.nbytes if "know" in self.context.config.parameters else None


class HeavyBackend(Backend):
    default_model_filename = "model.txt"

    def load(self, context):
        return Heavy(context)


class HeavyPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"heavy": f"{MODULE}:HeavyBackend"}


@pytest.fixture
def serve(tmp_path, monkeypatch):
    module = ModuleType(MODULE)
    module.HeavyBackend = HeavyBackend
    monkeypatch.setitem(sys.modules, MODULE, module)

    def start(parameters, files=None):
        write_model(tmp_path, model_config("m", backend="heavy", parameters=parameters), files)
        return Server(tmp_path, plugins=Plugins(entry_points=(), extra=[HeavyPlugin()]))

    return start


def told(server):
    """What the index tells of the one version, which is what the statistics tell."""
    (row,) = server.index()
    (statistics,) = server.statistics()
    assert row.host_byte_size == statistics.counters.host_byte_size
    return row.host_byte_size


def test_files_are_added_up(tmp_path):
    """A directory is as large as all files in it; what Python compiles does not count, nor does what is not there."""
    for path, size in (("a", 10), ("deep/b", 200), ("__pycache__/c", 4000)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(bytes(size))
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    assert files_byte_size(tmp_path) == 210
    assert files_byte_size(tmp_path / "a") == 10
    assert files_byte_size(tmp_path / "missing") == 0


def test_growth_is_measured_alone():
    """A block that takes memory is told how much; of two at the same time, neither is told anything."""
    if not resident_byte_size():
        pytest.skip("this system has no /proc to ask")
    meter = GrowthMeter()
    with meter.measured() as growth:
        taken = np.ones(64 * MEBIBYTE, np.uint8)
    assert 60 * MEBIBYTE < growth.byte_size < 80 * MEBIBYTE
    with meter.measured() as outer, meter.measured() as inner:
        more = np.ones(64 * MEBIBYTE, np.uint8)
    assert (outer.byte_size, inner.byte_size) == (0, 0)
    assert taken.nbytes == more.nbytes


def test_a_backend_that_knows_is_believed(serve):
    """What the backend says is told as it is, whatever else could be found out."""
    with serve({"take": "1000", "know": "1"}, {"1/model.txt": bytes(5000)}) as server:
        assert told(server) == 1000


def test_otherwise_the_greater_of_files_and_growth_is_told(serve):
    """A backend that knows nothing has its models' files counted, and the growth of the process where that is more."""
    with serve({"take": "0"}, {"1/model.txt": bytes(64 * MEBIBYTE)}) as server:
        assert told(server) == 64 * MEBIBYTE
    with serve({"take": str(64 * MEBIBYTE)}, {"1/model.txt": b""}) as server:
        assert resident_byte_size() == 0 or 60 * MEBIBYTE < told(server) < 80 * MEBIBYTE


def test_a_model_that_went_takes_nothing(serve):
    """The index of an unloaded model tells no size."""
    with serve({"take": "1000", "know": "1"}) as server:
        server.unload("m")
        assert server.index()[0].host_byte_size == 0

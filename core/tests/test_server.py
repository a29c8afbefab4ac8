"""The server in process: loading, lookup, reloading without a gap, shutdown."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.errors import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    RepositoryError,
    UnavailableError,
)
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins


class AddExecution(ArrayExecution):
    def __init__(self, context):
        super().__init__(context)
        self.addend = float((context.model.version_directory / "addend.txt").read_text())

    def run(self, inputs):
        gate = AddBackend.gate
        if gate is not None:
            AddBackend.entered.put(self.context.name)
            assert gate.wait(30)
        return {"Y": inputs["X"] + np.float32(self.addend)}


class AddModel(LoadedModel):
    def instantiate(self, context):
        return AddExecution(context)

    def close(self):
        AddBackend.closed.append((self.context.name, self.context.version))


class AddBackend(Backend):
    default_model_filename = "addend.txt"
    gate = None
    entered = queue.SimpleQueue()
    closed: ClassVar[list] = []

    def load(self, context):
        float((context.version_directory / "addend.txt").read_text())
        return AddModel(context)


class AddPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"add": f"{AddBackend.__module__}:AddBackend"}


CONFIG = """
backend: "add"
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }} ]
{more}
"""


def write(repository, name, versions, more=""):
    for version, addend in versions.items():
        folder = repository / name / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "addend.txt").write_text(str(addend))
    (repository / name / "config.pbtxt").write_text(CONFIG.format(more=more))
    return repository


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr(AddBackend, "gate", None)
    monkeypatch.setattr(AddBackend, "closed", [])
    monkeypatch.setattr(AddBackend, "entered", queue.SimpleQueue())
    servers = []

    def make(repository, **options):
        server = Server(
            repository, options=ServerOptions(**options), plugins=Plugins(entry_points=(), extra=[AddPlugin()])
        )
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


def started(server):
    server.start()
    return server


def answer(server, value=1.0, **options):
    return server.model("m").infer({"X": [value]}, **options)["Y"].tolist()


def test_context_manager_serves_and_closes(serve, tmp_path):
    """Inside the block the model answers, after it nothing does and nothing is left open."""
    with serve(write(tmp_path, "m", {1: 10})) as server:
        assert server.live
        assert server.ready
        assert answer(server) == [11.0]
    assert not server.live
    assert AddBackend.closed == [("m", 1)]
    with pytest.raises(UnavailableError):
        answer(server)


def test_greatest_version_is_the_default(serve, tmp_path):
    """Without a version the numerically greatest one answers; any other that serves can be asked by number."""
    server = started(serve(write(tmp_path, "m", {0: 0, 9: 9, 10: 100}, "version_policy { all {} }")))
    assert answer(server) == [101.0]
    assert server.model("m", 9).infer({"X": [1.0]})["Y"].tolist() == [10.0]
    assert server.model("m", 0).infer({"X": [1.0]})["Y"].tolist() == [1.0]
    assert server.model_metadata("m").versions == ["0", "9", "10"]


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", ["3"]),
        ("version_policy { latest { num_versions: 2 } }", ["2", "3"]),
        ("version_policy { specific { versions: [ 1, 3, 7 ] } }", ["1", "3"]),
    ],
)
def test_version_policy_chooses(serve, tmp_path, policy, served):
    """The version policy says which directories are served."""
    server = started(serve(write(tmp_path, "m", {1: 1, 2: 2, 3: 3}, policy)))
    assert server.model_metadata("m").versions == served


def test_several_repositories_are_one_table(serve, tmp_path):
    """Models of all repositories are served; a name that two have is served by neither, and the error names both."""
    write(tmp_path / "a", "m", {1: 1})
    write(tmp_path / "b", "n", {1: 1})
    write(tmp_path / "a", "both", {1: 1})
    write(tmp_path / "b", "both", {1: 1})
    server = started(serve([tmp_path / "a", tmp_path / "b"], exit_on_error=False))
    assert server.can_serve("m")
    assert server.can_serve("n")
    (row,) = [row for row in server.index() if row.name == "both"]
    assert str(tmp_path / "a") in row.reason
    assert str(tmp_path / "b") in row.reason


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("nope", None, "Request for unknown model: 'nope' is not found"),
        ("m", 7, "Request for unknown model: 'm' version 7 is not found"),
        ("bad", None, "Request for unknown model: 'bad' has no available versions"),
    ],
)
def test_unknown_models_are_told_as_in_the_reference(serve, tmp_path, name, version, text):
    """What is not there is NOT_FOUND, with the reference's words for each case."""
    write(tmp_path, "bad", {1: "no number"})
    server = started(serve(write(tmp_path, "m", {1: 1}), exit_on_error=False))
    with pytest.raises(NotFoundError) as caught:
        server.get(name, version)
    assert str(caught.value) == text


def test_one_broken_model_stops_nothing(serve, tmp_path):
    """A model that fails to load is in the index with its reason; the others serve, and the server is not ready."""
    write(tmp_path, "bad", {1: "no number"})
    server = started(serve(write(tmp_path, "m", {1: 1}), exit_on_error=False))
    assert answer(server) == [2.0]
    (row,) = [row for row in server.index() if row.name == "bad"]
    assert (row.version, row.state) == ("1", "UNAVAILABLE")
    assert row.reason.startswith("Internal: ValueError: could not convert string to float")
    assert server.live
    assert not server.ready
    server.unload("bad")
    assert server.ready


def test_exit_on_error_raises_and_names_every_failure(serve, tmp_path):
    """By default the start fails, with all models that failed and why."""
    write(tmp_path, "bad", {1: "no number"})
    write(tmp_path, "worse", {1: 1}, "nonsense: 1")
    server = serve(write(tmp_path, "m", {1: 1}))
    with pytest.raises(RepositoryError) as caught, server:
        pass
    assert "bad" in str(caught.value)
    assert "could not convert" in str(caught.value)
    assert "nonsense" in str(caught.value)


def test_missing_plugin_fails_its_model_with_a_hint(serve, tmp_path):
    """A backend that nobody provides is that model's failure, and the reason says what is installed."""
    write(tmp_path, "bad", {1: 1})
    (tmp_path / "bad" / "config.pbtxt").write_text('backend: "ad"')
    server = started(serve(write(tmp_path, "m", {1: 1}), exit_on_error=False))
    (row,) = [row for row in server.index() if row.name == "bad"]
    assert 'needs the backend "ad", which no installed plugin provides. Did you mean "add"?' in row.reason


def test_missing_repository_says_so(serve, tmp_path):
    """A repository that is not there ends the start with its path."""
    with pytest.raises(RepositoryError, match="nowhere"):
        serve(tmp_path / "nowhere").start()


def test_explicit_mode_loads_what_it_is_told(serve, tmp_path):
    """In mode explicit nothing but the named models is loaded; the rest stands in the index without a state."""
    write(tmp_path, "other", {1: 1})
    server = started(serve(write(tmp_path, "m", {1: 1}), model_control_mode="explicit", load_model=["m"]))
    assert [(row.name, row.state) for row in server.index()] == [("m", "READY"), ("other", "")]
    assert [row.name for row in server.index(ready=True)] == ["m"]
    server.load("other")
    assert server.can_serve("other")


@pytest.mark.parametrize("mode", ["none", "explicit"])
def test_clients_load_in_mode_explicit_only(serve, tmp_path, mode):
    """Whoever asks in a client's name is refused in the other mode; the program itself may always load."""
    server = started(serve(write(tmp_path, "m", {1: 1}), model_control_mode=mode))
    server.load("m")
    if mode == "explicit":
        server.require_explicit_control()
    else:
        with pytest.raises(UnavailableError, match="not allowed if polling is enabled"):
            server.require_explicit_control()


def test_statistics_are_of_what_serves(serve, tmp_path):
    """All versions of all models are told, or those that are asked for, in the order of name and version."""
    write(tmp_path, "b", {1: 1})
    write(tmp_path, "a", {1: 1, 3: 1}, "version_policy { all {} }")
    server = started(serve(tmp_path))
    server.model("a", 1).infer({"X": [1.0]})
    rows = [(row.name, row.version, row.counters.inference_count) for row in server.statistics()]
    assert rows == [("a", "1", 1), ("a", "3", 0), ("b", "1", 0)]
    assert [row.version for row in server.statistics("a")] == ["1", "3"]
    assert [row.version for row in server.statistics("a", 3)] == ["3"]


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("ghost", None, "requested model 'ghost' is not available"),
        ("ghost", 1, "requested model 'ghost' is not available"),
        ("m", 9, "requested model version is not available for model 'm'"),
    ],
)
def test_statistics_of_what_does_not_serve_are_refused(serve, tmp_path, name, version, text):
    """The refusal has the reference's words, and its code, which is not the one of other look-ups."""
    server = started(serve(write(tmp_path, "m", {1: 1})))
    with pytest.raises(InvalidArgumentError) as caught:
        server.statistics(name, version)
    assert str(caught.value) == text


def test_load_of_nothing_is_an_error(serve, tmp_path):
    """Loading a model that no repository has fails with the reference's sentence and our reason."""
    server = started(serve(write(tmp_path, "m", {1: 1})))
    with pytest.raises(InternalError, match=r"failed to load 'ghost', failed to poll from model repository.*ghost"):
        server.load("ghost")


def test_failed_reload_keeps_the_serving_model(serve, tmp_path):
    """A new version that fails to load changes nothing for those who ask."""
    server = started(serve(write(tmp_path, "m", {1: 1})))
    write(tmp_path, "m", {2: "no number"})
    with pytest.raises(
        InvalidArgumentError, match="load failed for model 'm': version 2 is at UNAVAILABLE state: Internal: "
    ):
        server.load("m")
    assert answer(server) == [2.0]
    assert [(row.version, row.state) for row in server.index()] == [("1", "READY"), ("2", "UNAVAILABLE")]


def test_new_version_takes_over(serve, tmp_path):
    """After a load the new version answers, and the old one leaves when it is done."""
    server = started(serve(write(tmp_path, "m", {1: 1})))
    write(tmp_path, "m", {2: 20})
    server.load("m")
    assert answer(server) == [21.0]
    server.close()
    assert ("m", 1) in AddBackend.closed


def test_reloading_under_load_loses_no_request(serve, tmp_path):
    """Requests from several threads never see a gap while the model is loaded anew, again and again."""
    server = started(serve(write(tmp_path, "m", {1: 1})))
    stop = threading.Event()

    def keep_asking():
        count = 0
        while not (count and stop.is_set()):
            assert answer(server) == [2.0]
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        try:
            for _ in range(50):
                server.load("m")
        finally:
            stop.set()
        assert all(future.result() > 0 for future in asking)


def test_unload_lets_accepted_requests_finish(serve, tmp_path, monkeypatch):
    """A request in progress gets its answer although its model is unloaded; a new one does not find it."""
    gate = threading.Event()
    monkeypatch.setattr(AddBackend, "gate", gate)
    server = started(serve(write(tmp_path, "m", {1: 1})))
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(answer, server)
        AddBackend.entered.get(timeout=30)
        server.unload("m")
        with pytest.raises(NotFoundError, match="has no available versions"):
            server.get("m")
        assert server.index()[0].state == "UNLOADING"
        gate.set()
        assert pending.result(30) == [2.0]


def test_unloading_the_unknown_is_no_error(serve, tmp_path):
    """As in the reference, an unload of what is not loaded succeeds."""
    started(serve(write(tmp_path, "m", {1: 1}))).unload("ghost")


def test_close_waits_for_requests_in_progress(serve, tmp_path, monkeypatch):
    """Closing finishes what was accepted, refuses what comes, and joins every thread."""
    gate = threading.Event()
    monkeypatch.setattr(AddBackend, "gate", gate)
    server = started(serve(write(tmp_path, "m", {1: 1})))
    with ThreadPoolExecutor(2) as pool:
        pending = pool.submit(answer, server)
        AddBackend.entered.get(timeout=30)
        server.begin_shutdown()
        assert not server.ready
        with pytest.raises(UnavailableError, match="Server exiting"):
            answer(server)
        closing = pool.submit(server.close)
        gate.set()
        assert pending.result(30) == [2.0]
        assert closing.result(30) is True
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("charonia")] == []


def test_close_tells_when_it_gave_up(serve, tmp_path, monkeypatch):
    """A request that does not end within the exit timeout is left behind, and close says so."""
    gate = threading.Event()
    monkeypatch.setattr(AddBackend, "gate", gate)
    server = started(serve(write(tmp_path, "m", {1: 1}), exit_timeout_secs=0.05))
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(answer, server)
        AddBackend.entered.get(timeout=30)
        assert server.close() is False
        gate.set()
        pending.result(30)


def test_readiness_of_a_model(serve, tmp_path):
    """A model is ready if it serves; one that was never heard of is NOT_FOUND."""
    write(tmp_path, "bad", {1: "no number"})
    server = started(serve(write(tmp_path, "m", {1: 1}), exit_on_error=False))
    assert server.model_ready("m") is True
    assert server.model_ready("bad") is False
    with pytest.raises(NotFoundError):
        server.model_ready("ghost")
    assert server.model_ready("m", 7) is False


def test_config_is_complete(serve, tmp_path):
    """The configuration that a model shows has everything filled in."""
    server = started(serve(write(tmp_path, "m", {1: 1})))
    config = server.model_config("m")
    assert config.name == "m"
    assert config.version_policy.latest.num_versions == 1
    assert [group.name for group in config.instance_group] == ["m"]
    assert config.default_model_filename == "addend.txt"


def test_two_servers_share_nothing(serve, tmp_path):
    """Two servers in one process have models, plugins and threads of their own."""
    first = started(serve(write(tmp_path / "a", "m", {1: 1})))
    second = started(serve(write(tmp_path / "b", "m", {1: 2})))
    assert (answer(first), answer(second)) == ([2.0], [3.0])
    first.close()
    assert answer(second) == [3.0]

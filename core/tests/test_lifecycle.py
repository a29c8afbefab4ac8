"""The life of models where something goes wrong or comes at the wrong moment: nothing is left behind, nobody waits in vain."""

from __future__ import annotations

import os
import queue
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from types import ModuleType
from typing import ClassVar

import pytest
from charonia import Server, ServerOptions
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.errors import InvalidArgumentError, UnavailableError
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins
from charonia.repository import LocalStorage
from charonia.testing.builders import model_config, write_model

MODULE = "charonia_test_lifecycle"


class Record:
    """What the backend and the storage of a test have done, and the gate at which loads wait if there is one."""

    def __init__(self):
        self.loaded = []
        self.closed = []
        self.localized = []
        self.released = []
        self.entered = queue.SimpleQueue()
        self.gate = None


class Echo(ArrayExecution):
    def run(self, inputs):
        return {"OUTPUT0": inputs["INPUT0"]}


class Loaded(LoadedModel):
    record: ClassVar[Record]

    def instantiate(self, context):
        return Echo(context)

    def close(self):
        self.record.closed.append((self.context.name, self.context.version))


class Recorded(Backend):
    default_model_filename = "model.txt"
    record: ClassVar[Record]

    def load(self, context):
        text = context.model_path.read_text() if context.model_path.exists() else ""
        if text == "exit":
            raise SystemExit(3)
        if text == "interrupt":
            raise KeyboardInterrupt
        if text == "broken":
            raise ValueError("broken")
        if self.record.gate is not None:
            self.record.entered.put(context.name)
            assert self.record.gate.wait(30)
        self.record.loaded.append((context.name, context.version))
        return Loaded(context)


class Odd(LocalStorage):
    record: ClassVar[Record]

    def __init__(self, url, options):
        super().__init__(url.removeprefix("odd://"), options)

    def entries(self, model, folder=""):
        if model == "odd":
            raise ValueError("the connection is odd")
        return super().entries(model, folder)

    def localize(self, model, versions, progress):
        self.record.localized.append(model)
        return super().localize(model, versions, progress)

    def release(self, directory):
        self.record.released.append(directory.name)


@pytest.fixture
def record(monkeypatch):
    record = Record()
    for kind in (Loaded, Recorded, Odd):
        monkeypatch.setattr(kind, "record", record, raising=False)
    module = ModuleType(MODULE)
    module.Recorded, module.Odd = Recorded, Odd
    monkeypatch.setitem(sys.modules, MODULE, module)
    return record


class RecordPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"recorded": f"{MODULE}:Recorded", "slow": f"{MODULE}:Slow"}

    @hookimpl
    def charonia_repositories(self):
        return {"odd": f"{MODULE}:Odd"}


@pytest.fixture
def make(record):
    servers = []

    def make(repository, **options):
        server = Server(
            repository, options=ServerOptions(**options), plugins=Plugins(entry_points=(), extra=[RecordPlugin()])
        )
        servers.append(server)
        return server

    yield make
    if record.gate is not None:
        record.gate.set()
    for server in servers:
        server.close()


def write(repository, name, versions, policy="all"):
    config = model_config(name, backend="recorded", max_batch_size=0)
    if policy == "all":
        config.version_policy.all.SetInParent()
    write_model(repository, config, {f"{version}/model.txt": text for version, text in versions.items()})
    return repository


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("charonia-")]


def test_versions_that_loaded_in_vain_are_closed(make, record, tmp_path):
    """Where one version fails, the others that were loaded for the same switch are let go."""
    server = make(write(tmp_path, "m", {1: "", 2: "broken"}), exit_on_error=False)
    server.start()
    assert record.loaded == [("m", 1)]
    assert record.closed == [("m", 1)]
    assert not [name for name in threads() if "instance" in name]


def test_model_that_exits_while_it_loads_fails_alone(make, tmp_path):
    """`sys.exit` in a model's code is that model's failure, not the server's end."""
    server = make(write(write(tmp_path, "bad", {1: "exit"}), "good", {1: ""}), exit_on_error=False)
    server.start()
    states = {row.name: (row.state, row.reason) for row in server.index()}
    assert states["good"] == ("READY", "")
    assert states["bad"] == ("UNAVAILABLE", "Internal: SystemExit: 3")
    with pytest.raises(InvalidArgumentError, match="SystemExit"):
        server.load("bad")


def test_storage_that_fails_strangely_fails_one_model(make, tmp_path):
    """An error that the storage did not foresee is told of the model that was read, and the others load."""
    write(write(tmp_path, "odd", {1: ""}), "good", {1: ""})
    server = make(f"odd://{tmp_path}", exit_on_error=False)
    server.start()
    states = {row.name: (row.state, row.reason) for row in server.index()}
    assert states["good"] == ("READY", "")
    assert states["odd"] == ("UNAVAILABLE", "Internal: ValueError: the connection is odd")


def test_files_are_released_when_a_version_goes(make, record, tmp_path):
    """Whatever a storage made available for a version is taken back: at the unload, at a failed load, at the end."""
    write(write(tmp_path, "m", {1: "", 2: ""}), "bad", {1: "broken"})
    server = make(f"odd://{tmp_path}", exit_on_error=False)
    server.start()
    (tmp_path / "m" / "labels.txt").write_text("changed")
    server.load("m")
    server.close()
    assert sorted(record.localized) == sorted(record.released) == ["bad", "m", "m", "m", "m"]


def test_close_lets_go_of_what_was_still_loading(make, record, tmp_path):
    """A load that ends after `close` began does not serve, is closed, and leaves no thread."""
    server = make(write(tmp_path, "m", {1: ""}), model_control_mode="explicit")
    server.start()
    record.gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        load = pool.submit(server.load, "m")
        assert record.entered.get(timeout=30) == "m"
        closing = pool.submit(server.close)
        server.begin_shutdown()
        record.gate.set()
        assert closing.result(30) is True
        with pytest.raises(UnavailableError):
            load.result(30)
    assert record.closed == record.loaded == [("m", 1)]
    assert threads() == []


def test_close_gives_up_on_a_load_that_does_not_end(make, record, tmp_path):
    """A backend that hangs while it loads holds `close` up for the exit timeout and no longer."""
    server = make(write(tmp_path, "m", {1: ""}), model_control_mode="explicit", exit_timeout_secs=0.1)
    server.start()
    record.gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(server.load, "m")
        assert record.entered.get(timeout=30) == "m"
        assert server.close() is False
        record.gate.set()
        with pytest.raises(UnavailableError):
            load.result(30)
    assert record.closed == [("m", 1)]


def test_closing_ends_the_start(make, record, tmp_path):
    """A start that is under way on another thread ends with an error when the server is closed, and loads no further model."""
    for name in ("a", "b", "c"):
        write(tmp_path, name, {1: ""})
    server = make(tmp_path, model_load_thread_count=1)
    record.gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        start = pool.submit(server.start)
        assert record.entered.get(timeout=30) == "a"
        closing = pool.submit(server.close)
        server.begin_shutdown()
        record.gate.set()
        assert closing.result(30) is True
        with pytest.raises(UnavailableError):
            start.result(30)
    assert record.loaded == record.closed == [("a", 1)]
    assert threads() == []


def test_broken_version_is_forgotten_once_it_is_gone(make, tmp_path):
    """A version that failed and was then removed does not keep the server from being ready."""
    server = make(write(tmp_path, "m", {1: "", 2: "broken"}), exit_on_error=False)
    server.start()
    assert not server.ready
    (tmp_path / "m" / "2" / "model.txt").unlink()
    (tmp_path / "m" / "2").rmdir()
    server.load("m")
    assert server.ready
    assert [(row.version, row.state, row.reason) for row in server.index()] == [
        ("1", "READY", ""),
        ("2", "UNAVAILABLE", "unloaded"),
    ]


def test_load_of_an_unchanged_model_does_nothing(make, record, tmp_path):
    """As in the reference, a load is for what has changed: what serves as it is stored is not loaded again."""
    server = make(write(tmp_path, "m", {1: "", 2: ""}))
    server.start()
    (tmp_path / "m" / "1" / "__pycache__").mkdir()
    server.load("m")
    assert record.loaded == [("m", 1), ("m", 2)]
    assert record.closed == []


def test_only_versions_that_have_changed_are_loaded_anew(make, record, tmp_path):
    """A version that came, one that went and one with other content: the rest of the model goes on as it is."""
    server = make(write(tmp_path, "m", {1: "", 2: "", 3: ""}))
    server.start()
    kept = server.get("m", 3)
    record.loaded.clear()
    shutil.rmtree(tmp_path / "m" / "1")
    write(tmp_path, "m", {2: "other", 4: ""})
    server.load("m")
    assert record.loaded == [("m", 2), ("m", 4)]
    assert server.get("m", 3) is kept
    assert [(row.version, row.state) for row in server.index() if row.version != "1"] == [
        ("2", "READY"),
        ("3", "READY"),
        ("4", "READY"),
    ]


def test_other_version_policy_loads_what_is_missing(make, record, tmp_path):
    """A change of the policy alone loads and unloads versions, and touches no other."""
    server = make(write(tmp_path, "m", {1: "", 2: ""}, policy="latest"))
    server.start()
    kept = server.get("m", 2)
    write(tmp_path, "m", {}, policy="all")
    server.load("m")
    assert record.loaded == [("m", 2), ("m", 1)]
    assert server.get("m", 2) is kept


@pytest.mark.parametrize("path", ["config.pbtxt", "labels.txt"])
def test_what_all_versions_share_loads_all_of_them_anew(make, record, tmp_path, path):
    """Another configuration, or another file beside it, is a reason to load every version."""
    server = make(write(tmp_path, "m", {1: "", 2: ""}))
    server.start()
    with (tmp_path / "m" / path).open("a") as file:
        file.write('parameters { key: "a" value { string_value: "b" } }')
    server.load("m")
    assert record.loaded == [("m", 1), ("m", 2)] * 2


def test_failed_load_is_tried_again_and_its_trace_goes(make, record, tmp_path):
    """What failed is loaded again though nothing changed; once the old files are back, the index shows no failure any more."""
    server = make(write(tmp_path, "m", {1: ""}), model_control_mode="explicit", load_model=["m"])
    server.start()
    status = (tmp_path / "m" / "1" / "model.txt").stat()
    write(tmp_path, "m", {1: "broken"})
    for _ in range(2):
        with pytest.raises(InvalidArgumentError, match="broken"):
            server.load("m")
    write(tmp_path, "m", {1: ""})
    os.utime(tmp_path / "m" / "1" / "model.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    server.load("m")
    assert [(row.state, row.reason) for row in server.index()] == [("READY", "")]
    assert record.loaded == [("m", 1)]


def test_names_of_nothing_leave_no_trace(make, tmp_path):
    """Asking to load a model that does not exist puts nothing into the index."""
    server = make(write(tmp_path, "m", {1: ""}))
    server.start()
    for number in range(3):
        with pytest.raises(Exception, match="not found"):
            server.load(f"ghost{number}")
    assert [row.name for row in server.index()] == ["m"]


def test_model_named_twice_is_loaded_once(make, record, tmp_path):
    """The list of models to load at the start may name one twice."""
    server = make(write(tmp_path, "m", {1: ""}), model_control_mode="explicit", load_model=["m", "m"])
    server.start()
    assert record.loaded == [("m", 1)]


def test_server_does_not_start_again(make, tmp_path):
    """A server that was closed says that it cannot be started again."""
    server = make(write(tmp_path, "m", {1: ""}))
    with server:
        pass
    with pytest.raises(UnavailableError, match="closed"):
        server.start()


def test_everybody_who_closes_waits_for_the_end(make, record, tmp_path):
    """Two threads that close a server both return when it is closed, with the same answer."""
    server = make(write(tmp_path, "m", {1: ""}), model_control_mode="explicit", exit_timeout_secs=30)
    server.start()
    record.gate = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        load = pool.submit(server.load, "m")
        assert record.entered.get(timeout=30) == "m"
        closers = [pool.submit(server.close) for _ in range(2)]
        done, _ = wait(closers, timeout=0.2)
        assert not done
        record.gate.set()
        assert [closer.result(30) for closer in closers] == [True, True]
        with pytest.raises(UnavailableError):
            load.result(30)


def test_unknown_control_mode_is_refused():
    """A mode that this server does not have is told, with those that it has."""
    with pytest.raises(InvalidArgumentError, match="'pull'; expected one of 'none', 'poll', 'explicit'"):
        ServerOptions(model_control_mode="pull")


@pytest.mark.parametrize(("strict", "ready"), [(True, False), (False, True)])
def test_failed_model_and_the_readiness_of_the_server(make, tmp_path, strict, ready):
    """A failed model keeps the server from being ready, unless readiness is not strict."""
    write(write(tmp_path, "bad", {1: "broken"}), "good", {1: ""})
    server = make(tmp_path, exit_on_error=False, strict_readiness=strict)
    assert not server.ready
    server.start()
    assert server.ready is ready
    server.unload("bad")
    assert server.ready


def test_backend_that_is_slow_to_begin_holds_up_its_own_models_only(make, record, tmp_path, monkeypatch):
    """While one backend is made, which may import a large framework, models of another one load."""
    made = []

    def begin(backend, options):
        made.append(threading.current_thread().name)
        record.entered.put("slow")
        assert record.gate.wait(30)
        super(Recorded, backend).__init__(options)

    monkeypatch.setattr(sys.modules[MODULE], "Slow", type("Slow", (Recorded,), {"__init__": begin}), raising=False)
    record.gate = threading.Event()
    for name in ("s1", "s2"):
        write(tmp_path, name, {1: ""})
        config = tmp_path / name / "config.pbtxt"
        config.write_text(config.read_text().replace('"recorded"', '"slow"'))
    server = make(write(tmp_path, "m", {1: ""}), model_control_mode="explicit")
    server.start()
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(server.load, name) for name in ("s1", "s2")]
        assert record.entered.get(timeout=30) == "slow"
        quick = pool.submit(server.load, "m")
        assert record.entered.get(timeout=5) == "m"
        record.gate.set()
        for load in (*slow, quick):
            load.result(30)
    assert len(made) == 1


def test_interrupted_load_can_be_repeated(make, record, tmp_path):
    """Ctrl-C in a program that loads a model by call is the program's; the model is let go, and loads when it is asked to again."""
    server = make(write(tmp_path, "m", {1: "", 2: "interrupt"}), model_control_mode="explicit")
    server.start()
    with pytest.raises(KeyboardInterrupt):
        server.load("m")
    assert record.closed == [("m", 1)]
    assert {row.state for row in server.index()} == {"UNAVAILABLE"}
    (tmp_path / "m" / "2" / "model.txt").write_text("")
    server.load("m")
    assert server.ready

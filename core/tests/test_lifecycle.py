"""The life of models where something goes wrong or comes at the wrong moment: nothing is left behind, nobody waits in vain."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
import recorded_models
from charonia import ServerOptions
from charonia.errors import CharoniaError, InvalidArgumentError, NotFoundError, UnavailableError
from charonia.testing.patience import wait_until
from recorded_models import Recorded, write


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


def test_what_could_not_be_read_is_forgotten_with_an_unload(make, tmp_path):
    """A model whose configuration was wrong stands in the index as one that nobody has asked for, once it was unloaded."""
    server = make(write(tmp_path, "m", {1: ""}), model_control_mode="explicit")
    server.start()
    (tmp_path / "m" / "config.pbtxt").write_text("nonsense: 1")
    with pytest.raises(Exception, match="nonsense"):
        server.load("m")
    assert [row.state for row in server.index()] == ["UNAVAILABLE"]
    server.unload("m")
    assert [(row.name, row.state, row.reason) for row in server.index()] == [("m", "", "")]


def test_a_model_without_a_version_is_told_what_one_is(make, tmp_path):
    """Its file lies in a directory with another name. Where the policy passes its versions over, it is not told so."""
    server = make(write(tmp_path, "m", {"v1": ""}), model_control_mode="explicit")
    server.start()
    with pytest.raises(InvalidArgumentError, match=r"at least one version .* directory named by a number, such as m/1"):
        server.load("m")
    (tmp_path / "m" / "config.pbtxt").write_text('backend: "recorded"\nversion_policy { specific { versions: [ 9 ] } }')
    (tmp_path / "m" / "v1").rename(tmp_path / "m" / "1")
    with pytest.raises(InvalidArgumentError, match=r"under the version policy of model 'm'$"):
        server.load("m")


def test_a_model_that_never_had_a_version_keeps_the_server_from_being_ready(make, tmp_path):
    """It was asked to serve and cannot: until it is unloaded, even where it is stored no more."""
    server = make(write(tmp_path, "m", {"v1": ""}), exit_on_error=False)
    server.start()
    assert not server.ready
    with pytest.raises(NotFoundError, match="Request for unknown model: 'm' has no available versions"):
        server.model("m").metadata()
    shutil.rmtree(tmp_path / "m")
    assert not server.ready
    server.unload("m")
    assert server.ready
    assert server.index() == []


def test_an_unloaded_model_that_is_stored_no_more_leaves_the_index(make, tmp_path):
    """While it serves, or has failed, it stands there."""
    server = make(write(tmp_path, "m", {1: ""}), model_control_mode="explicit")
    server.start()
    server.load("m")
    shutil.rmtree(tmp_path / "m")
    assert [(row.version, row.state) for row in server.index()] == [("1", "READY")]
    server.unload("m")
    wait_until(lambda: server.index() == [])


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


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("load_model", "m", "a list of names"),
        ("disabled_plugins", "p", "a list of names"),
        ("memory_budget", "4GiB", "bytes"),
    ],
)
def test_options_of_a_wrong_type_are_refused(option, value, wanted):
    """Those that are given as on the command line are told at once, with what they must be."""
    with pytest.raises(InvalidArgumentError, match=rf"^{option} is '{value}'; expected .*{wanted}"):
        ServerOptions(**{option: value})


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

    monkeypatch.setattr(recorded_models, "Slow", type("Slow", (Recorded,), {"__init__": begin}), raising=False)
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
        assert record.entered.get(timeout=30) == "m"
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


def test_the_log_tells_how_loads_and_unloads_end(make, tmp_path, caplog):
    """Each of them has a line, whoever has asked for it, and what a client says begins no other."""
    server = make(write(write(tmp_path, "m", {1: ""}), "bad", {1: "broken"}), exit_on_error=False)
    caplog.set_level("INFO", "charonia")
    server.start()
    for name in ("bad", "a\nforged"):
        with pytest.raises(CharoniaError):
            server.load(name)
    server.load("m")
    for name in ("m", "m", "bad"):
        server.unload(name)
    said = [(record.levelname, record.getMessage().partition(",")[0].partition(": ")[0]) for record in caplog.records]
    assert sorted(said[:2]) == [("ERROR", 'model "bad" failed to load'), ("INFO", 'model "m" is ready')]
    assert said[2:] == [
        ("ERROR", 'model "bad" failed to load'),
        ("ERROR", r'model "a\nforged" failed to load'),
        ("INFO", 'model "m" is ready'),
        ("INFO", 'model "m" is unloaded'),
    ]
    assert "\n" not in "".join(record.getMessage() for record in caplog.records)


def test_the_log_tells_the_places_of_what_is_wrong_in_a_configuration(make, tmp_path, caplog):
    """In one line, whoever asked for the load; the state of the model, in the reference's words, has no places."""
    server = make(write(tmp_path, "m", {1: ""}), exit_on_error=False)
    (tmp_path / "m" / "config.pbtxt").write_text('backend: "recorded"\nmax_batch: 1\noutputt [ ]\n')
    caplog.set_level("ERROR", "charonia")
    server.start()
    (told,) = caplog.messages
    assert told.startswith('model "m" failed to load: model "m" (config.pbtxt:2): ')
    assert '; model "m" (config.pbtxt:3): ' in told

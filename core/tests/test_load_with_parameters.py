"""Loads that bring a configuration, or files: what serves then, for how long, and what is left behind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from charonia import ServerOptions
from charonia.errors import InternalError, InvalidArgumentError, NotFoundError
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from google.protobuf import json_format

PLUGINS = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
TENSOR = ("FP32", [1])


def config(name="m", **parameters):
    """Make a configuration whose model multiplies by `scale` and adds `addend`."""
    return model_config(
        name, inputs=[("X", *TENSOR)], outputs=[("Y", *TENSOR)], max_batch_size=0, parameters=parameters
    )


def as_json(name="m", **parameters):
    return json_format.MessageToJson(config(name, **parameters), preserving_proto_field_name=True)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Give the place where temporary directories are made."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


@pytest.fixture
def loaded(server, model_repository, temporary):
    """Serve the model m, which adds 1."""
    write_model(model_repository, config(addend="1"), {"1/model.json": "{}"})
    return server(
        model_repository, options=ServerOptions(model_control_mode="explicit", load_model=["m"]), plugins=PLUGINS
    )


def answer(server, name="m"):
    return server.model(name).infer({"X": [1.0]})["Y"].tolist()


def test_configuration_replaces_the_stored_one(loaded, model_repository):
    """Nothing of the stored configuration is left, and the stored files are used."""
    write_model(model_repository, config(addend="1", scale="3"), {"1/model.json": "{}"})
    loaded.load("m", config=as_json(addend="10"))
    assert answer(loaded) == [11.0]
    assert sorted(loaded.model_config("m").parameters) == ["addend"]


def test_configuration_stays_in_force_until_files_change(loaded, model_repository):
    """A plain load keeps it, a change of the stored files or an unload ends it."""
    loaded.load("m", config=as_json(addend="10"))
    loaded.load("m")
    assert answer(loaded) == [11.0]
    stored = model_repository / "m" / "config.pbtxt"
    os.utime(stored, ns=(0, stored.stat().st_mtime_ns + 1))
    loaded.load("m")
    assert answer(loaded) == [2.0]
    loaded.load("m", config=as_json(addend="20"))
    assert answer(loaded) == [21.0]
    loaded.unload("m")
    loaded.load("m")
    assert answer(loaded) == [2.0]


def test_new_files_end_an_override(loaded, model_repository):
    """A file that is added counts as a change; what Python compiled beside its sources does not."""
    loaded.load("m", config=as_json(addend="10"))
    (model_repository / "m" / "1" / "__pycache__").mkdir()
    (model_repository / "m" / "1" / "__pycache__" / "x.pyc").write_bytes(b"")
    loaded.load("m")
    assert answer(loaded) == [11.0]
    (model_repository / "m" / "1" / "new.txt").write_text("")
    loaded.load("m")
    assert answer(loaded) == [2.0]


def test_files_replace_the_stored_directory(loaded, temporary):
    """The versions are those of the files; the directory is there as long as something uses it, and gone after the unload."""
    loaded.load("m", config=as_json(addend="1"), files={"3/model.json": b'{"addend": 100}'})
    assert loaded.model_metadata("m").versions == ["3"]
    assert answer(loaded) == [101.0]
    assert len(list(temporary.iterdir())) == 1
    loaded.unload("m")
    loaded.close()
    assert list(temporary.iterdir()) == []


def test_files_serve_until_the_next_load(loaded, temporary):
    """A load without files takes the repository's again; where there are none it fails, and what serves goes on serving."""
    loaded.load("m", config=as_json(addend="1"), files={"3/model.json": b'{"addend": 100}'})
    loaded.load("m")
    assert loaded.model_metadata("m").versions == ["1"]
    assert answer(loaded) == [2.0]
    loaded.load("fresh", config=as_json(""), files={"1/model.json": b'{"addend": 5}'})
    with pytest.raises(InternalError):
        loaded.load("fresh")
    assert answer(loaded, "fresh") == [6.0]
    loaded.close()
    assert list(temporary.iterdir()) == []


def test_model_can_come_from_nowhere(loaded, temporary):
    """With files a model need not be in a repository; after its unload it is not known there."""
    loaded.load("fresh", config=as_json(""), files={"1/model.json": b'{"addend": 5}'})
    assert answer(loaded, "fresh") == [6.0]
    loaded.unload("fresh")
    with pytest.raises(InternalError, match=r"^failed to load 'fresh', failed to poll from model repository: "):
        loaded.load("fresh")
    loaded.close()
    assert list(temporary.iterdir()) == []


def test_closing_the_server_removes_the_files(loaded, temporary):
    """Files that are in use at the end go with the server."""
    loaded.load("m", config=as_json(), files={"1/model.json": b"{}"})
    assert list(temporary.iterdir())
    loaded.close()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"config": "{"}, InternalError),
        ({"config": ""}, InternalError),
        ({"config": '{"bogus": 1}'}, InternalError),
        ({"config": '{"name": "other"}'}, InternalError),
        ({"files": {"1/model.json": b""}}, InternalError),
        ({"config": '{"backend": "nonexist"}', "files": {"1/model.json": b""}}, InvalidArgumentError),
        ({"config": as_json(), "files": {"1/model.json": b"no JSON"}}, InvalidArgumentError),
        ({"config": as_json(), "files": {"model.json": b"{}"}}, InvalidArgumentError),
        ({"config": as_json(), "files": {"../model.json": b"{}"}}, InvalidArgumentError),
    ],
)
def test_failed_load_changes_nothing(loaded, temporary, parameters, error):
    """What served goes on serving with what was in force, nothing stays behind, and the model has no problem in the index."""
    loaded.load("m", config=as_json(addend="10"))
    with pytest.raises(error):
        loaded.load("m", **parameters)
    assert answer(loaded) == [11.0]
    assert list(temporary.iterdir()) == []
    assert [row.state for row in loaded.index() if row.name == "m"] == ["READY"]
    loaded.load("m")
    assert answer(loaded) == [11.0]


def test_failed_load_of_the_unknown_leaves_no_trace(loaded):
    """A configuration for a model that is nowhere is refused with the reference's words, and is not in the index."""
    with pytest.raises(InternalError, match=r"^failed to load 'fresh', failed to poll from model repository"):
        loaded.load("fresh", config=as_json("fresh"))
    assert [row.name for row in loaded.index()] == ["m"]


@pytest.mark.parametrize("name", ["", "..", "../m", "a/b", "a\\b", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(loaded, temporary, name):
    """A name that is no directory's is the caller's mistake, with or without files."""
    for parameters in ({}, {"config": "{}", "files": {"1/model.json": b""}}):
        with pytest.raises(InvalidArgumentError):
            loaded.load(name, **parameters)
    assert list(temporary.iterdir()) == []


def test_files_lead_through_no_stored_link(loaded, model_repository, temporary, tmp_path):
    """A link in the stored directory is not followed: the files that come with a load lie in a directory of their own."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (model_repository / "m" / "link").symlink_to(outside)
    loaded.load("m", config=as_json(), files={"1/model.json": b"{}", "link/model.json": b"{}"})
    assert list(outside.iterdir()) == []
    (own,) = temporary.iterdir()
    assert (own / "m" / "link" / "model.json").is_file()


def test_files_stay_for_requests_in_progress(loaded, temporary):
    """A request that a replaced model still executes keeps that model's files; then they go."""
    with Gate("slow") as gate, ThreadPoolExecutor(1) as pool:
        loaded.load("m", config=as_json(gate="slow"), files={"1/model.json": b"{}"})
        pending = pool.submit(answer, loaded)
        gate.wait_entered()
        loaded.load("m", config=as_json(addend="7"), files={"1/model.json": b"{}"})
        assert len(list(temporary.iterdir())) == 2
        assert answer(loaded) == [8.0]
        gate.open()
        assert pending.result(30) == [1.0]
    loaded.close()
    assert list(temporary.iterdir()) == []


def test_loads_side_by_side_come_one_after_the_other(loaded, temporary):
    """Many loads of one model with different files all succeed, and leave the files of one."""
    with ThreadPoolExecutor(4) as pool:
        loads = [
            pool.submit(loaded.load, "m", config=as_json(), files={"1/model.json": b'{"addend": %d}' % number})
            for number in range(12)
        ]
        for load in loads:
            load.result(30)
    assert answer(loaded)[0] - 1 in range(12)
    loaded.unload("m", unload_dependents=True)
    with pytest.raises(NotFoundError):
        loaded.get("m")
    loaded.close()
    assert list(temporary.iterdir()) == []

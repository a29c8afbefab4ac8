"""What has changed about a model decides what a load does: no more than is needed."""

from __future__ import annotations

import os
import shutil

import pytest
from charonia.errors import InvalidArgumentError
from recorded_models import write


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

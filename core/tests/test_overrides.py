"""What comes with a load instead of what lies in the repository: paths that stay inside, directories that go when they should."""

from __future__ import annotations

import json

import pytest
from charonia.config import ModelConfig
from charonia.errors import ConfigError, InvalidArgumentError, RepositoryError
from charonia.overrides import LoadParameters, Override, OverrideSlot, check_model_name
from hypothesis import given
from hypothesis import strategies as st

CONFIG = json.dumps({"backend": "arithmetic"})


@pytest.fixture(autouse=True)
def _own_temporary_directory(tmp_path, monkeypatch):
    """Let every temporary directory lie in the test's own, so that it can be seen what is left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def override(files=None, config=CONFIG):
    return Override("m", LoadParameters(config, files or {}), "")


def left(tmp_path):
    return [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("name", [".", "..", "../m", "a/b", "a\\b", "a\0b", "/etc"])
def test_names_that_lead_elsewhere_are_refused(name):
    """A model's name is the name of one directory; the text is that of the reference's later releases."""
    with pytest.raises(InvalidArgumentError) as caught:
        check_model_name(name)
    assert str(caught.value) == f"invalid model name '{name}', model name must not contain path traversal characters"


def test_empty_name_is_refused():
    """An empty name has a text of its own."""
    with pytest.raises(
        InvalidArgumentError, match=r"^Model name cannot be empty\. Please enter a valid name to deploy\.$"
    ):
        check_model_name("")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "empty part"),
        ("..", "'..'"),
        ("../../x.py", "'..'"),
        ("1/../../x", "'..'"),
        ("/etc/passwd", "absolute"),
        ("1//x", "empty part"),
        ("1/", "empty part"),
        ("./1/x", "'.'"),
        ("1\\..\\x", "backslash"),
        ("1/a\0b", "NUL"),
        ("1/" + "x" * 256, "255 bytes"),
        ("/".join(["x" * 200] * 6), "1024 bytes"),
        ("1/\ud800", "no valid text"),
    ],
)
def test_paths_that_are_none_are_refused(path, problem):
    """A file's path must be one inside the model's directory as it is written; the error names the parameter."""
    with pytest.raises(InvalidArgumentError, match="must stay within model directory") as caught:
        LoadParameters(CONFIG, {path: b""})
    assert "Invalid file parameter" in str(caught.value)
    assert problem in str(caught.value)


def test_a_file_cannot_be_a_directory_too():
    """Two paths, one of which is the other one's directory, are refused."""
    with pytest.raises(InvalidArgumentError, match="'1' is given as a file, too"):
        LoadParameters(CONFIG, {"1": b"", "1/model.json": b""})


@given(path=st.text(alphabet=st.sampled_from("./\\a1\0é\ud800"), max_size=12))
def test_no_path_leaves_the_directory(tmp_path_factory, path):
    """Whatever the path, it is refused, or its file lies in the model's directory and nowhere else."""
    try:
        parameters = LoadParameters(CONFIG, {path: b"here"})
    except InvalidArgumentError:
        return
    made = Override("m", parameters, "")
    try:
        directory = made.storage.localize("m", [])
        (found,) = [item for item in directory.parent.rglob("*") if item.is_file()]
        assert found.resolve().is_relative_to(directory.resolve())
        assert found.read_bytes() == b"here"
        made.storage.release(directory)
    finally:
        made.close()
    assert not directory.parent.exists()


def test_files_need_a_configuration(tmp_path):
    """Files without a configuration are refused in the reference's words, and nothing is written."""
    with pytest.raises(RepositoryError, match="Load parameter 'config' must be specified for model file override"):
        override({"1/model.json": b""}, None)
    assert left(tmp_path) == []


@pytest.mark.parametrize("config", ["", "{", "[]", '{"bogus": 1}', '{"name": "other"}', '{"backend": "\\ud800"}'])
def test_wrong_configurations_leave_nothing(tmp_path, config):
    """A configuration that cannot be read is told before any file is written."""
    with pytest.raises(ConfigError):
        override({"1/model.json": b""}, config)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "config",
    [
        {"default_model_filename": "../../secret"},
        {"cc_model_filenames": {"8.0": "/etc/passwd"}},
        {"output": [{"name": "Y", "label_filename": "../labels.txt"}]},
        {"model_warmup": [{"name": "w", "inputs": {"X": {"input_data_file": "../../x"}}}]},
        {"sequence_batching": {"state": [{"initial_state": [{"name": "s", "data_file": "../x"}]}]}},
    ],
)
def test_configurations_cannot_name_files_outside(config):
    """What a configuration from outside names must lie in the model's directory."""
    with pytest.raises(RepositoryError, match=r"'(\.\./|/)"):
        override(config=json.dumps(config))


def test_variables_stand_for_themselves(monkeypatch):
    """A configuration that comes with a load cannot read the server's environment."""
    monkeypatch.setenv("SECRET", "told")
    made = override(config=json.dumps({"backend": "${SECRET}"}))
    assert made.parsed.config.backend == "${SECRET}"


def test_files_stay_until_they_are_released(tmp_path):
    """A closed override keeps its directory for the versions that still use it, and not longer."""
    made = override({"1/model.json": b"{}"})
    first, second = made.storage.localize("m", [1]), made.storage.localize("m", [1])
    made.close()
    made.storage.release(first)
    assert (second / "1" / "model.json").read_bytes() == b"{}"
    made.storage.release(second)
    assert left(tmp_path) == []
    made.close()


def test_slot_keeps_what_succeeded(tmp_path):
    """An override is in force once its load succeeded; one that failed is removed and the one before stays; the next replaces it."""
    slot = OverrideSlot()
    first, second, third = (override({"1/x": b"%d" % number}) for number in range(3))
    with slot.trying(first):
        pass
    with pytest.raises(ZeroDivisionError), slot.trying(second):
        _ = 1 / 0
    assert slot.current is first
    with slot.trying(first):
        pass
    assert len(left(tmp_path)) == 2
    with slot.trying(third):
        pass
    assert slot.current is third
    assert len(left(tmp_path)) == 1
    slot.clear()
    assert left(tmp_path) == []


def test_plain_load_that_fails_keeps_the_override(tmp_path):
    """A load without an override that fails leaves the one in force."""
    slot = OverrideSlot()
    made = override({"1/x": b""})
    with slot.trying(made):
        pass
    with pytest.raises(ZeroDivisionError), slot.trying(None):
        _ = 1 / 0
    assert slot.current is made
    slot.clear()


FIELDS = [field.name for field in ModelConfig.DESCRIPTOR.fields] + ["name", "dims", "data_type", "count", "kind", "key"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["TYPE_FP32", "../x", "m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(text=st.text() | VALUES.map(json.dumps) | st.dictionaries(st.sampled_from(FIELDS), VALUES).map(json.dumps))
def test_any_configuration_is_read_or_refused(text):
    """Whatever text comes as a configuration, it is one or its mistake is told; nothing else is raised."""
    try:
        made = override(config=text)
    except (ConfigError, RepositoryError):
        return
    assert made.parsed.config.name == "m"

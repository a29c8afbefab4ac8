"""The options file: its keys are the flags' names, and each mistake is told with its line."""

from __future__ import annotations

import click
import pytest
from charonia.cli.flags import own_flags
from charonia.cli.options_file import read_options_file


def values(path):
    return read_options_file(str(path)).values(own_flags())


def test_keys_are_flags_and_values_are_read_by_their_type(tmp_path):
    """One value or a list for what may come several times; words that YAML would take for something else stay words."""
    path = tmp_path / "server.yaml"
    path.write_text('model-repository: a\nload-model: [b, "c"]\nid: no\nexit-on-error: false\nlog-verbose: 1\n')
    assert values(path) == {
        "model_repository": ["a"],
        "load_model": ["b", "c"],
        "id": "no",
        "exit_on_error": "false",
        "log_verbose": "1",
    }


def test_an_alias_is_a_key_too(tmp_path):
    """The reference's other name for repositories works here as on the command line."""
    path = tmp_path / "server.yaml"
    path.write_text("model-store: [a, b]\n")
    assert values(path) == {"model_repository": ["a", "b"]}


def test_an_empty_file_says_nothing(tmp_path):
    """A file with comments only is no mistake."""
    path = tmp_path / "server.yaml"
    path.write_text("# nothing yet\n")
    assert values(path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id: a\nexit_on_eror: false\n", ":2: no such option: 'exit_on_eror'. Did you mean 'exit-on-error'?"),
        ("--id: a\n", ":1: no such option: '--id'. Did you mean 'id'?"),
        ("config: other.yaml\n", ":1: no such option: 'config'."),
        ("id: a\n\nlog-verbose: much\n", ":3: log-verbose: 'much' is not a valid integer"),
        ("exit-on-error: perhaps\n", ":1: exit-on-error: 'perhaps' is not a valid boolean"),
        ("id: [a, b]\n", ":1: id: takes one value, not a list"),
        ("id: {a: b}\n", ":1: id: takes a plain value"),
        ("load-model: [a, [b]]\n", ":1: load-model: takes plain values"),
        ("id:\n", ":1: id: has no value"),
        ("model-control-mode: pull\n", ":1: model-control-mode: 'pull' is not one of"),
        ("id: a\nlog-info: true\nid: b\n", ":3: id stands in line 1 already"),
        ("id: [a\n", ": this is no YAML: "),
        ("- id\n", ":1: expected a line for each option"),
        ("[a]: b\n", ":1: expected the name of an option"),
        ("id: a\nplugins: http\n", ":2: expected plugins: {KIND: {NAME: PACKAGE}}"),
        ("plugins: {backend: onnxruntime}\n", ":1: expected plugins: {KIND: {NAME: PACKAGE}}"),
    ],
)
def test_mistakes_have_a_file_a_line_and_a_hint(tmp_path, text, message):
    """Whatever is wrong is told where it stands."""
    path = tmp_path / "server.yaml"
    path.write_text(text)
    with pytest.raises(click.UsageError) as caught:
        values(path)
    assert f"{path}{message}" in caught.value.message or message in caught.value.message
    assert str(path) in caught.value.message


def test_all_mistakes_are_told_at_once(tmp_path):
    """A reader corrects the file once, not once for each mistake."""
    path = tmp_path / "server.yaml"
    path.write_text("idd: a\nlog-verbose: b\n")
    with pytest.raises(click.UsageError) as caught:
        values(path)
    assert len(caught.value.message.splitlines()) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", b"id: \x00"])
def test_what_is_no_text_is_no_options_file(tmp_path, content):
    """Bytes that are no YAML in UTF-8 are refused by name."""
    path = tmp_path / "server.yaml"
    path.write_bytes(content)
    with pytest.raises(click.UsageError, match=r"server\.yaml"):
        read_options_file(str(path))

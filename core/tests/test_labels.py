"""The label files of a model's outputs."""

from __future__ import annotations

import pytest
from charonia.errors import InternalError, InvalidArgumentError, UnsupportedError
from charonia.labels import read_labels
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin


def labelled(file):
    """A configuration whose one output has a label file."""
    config = model_config("m")
    config.output[0].label_filename = file
    return config


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_labels_are_lines(tmp_path, end, line_end):
    """A line is the label of the element at its place, spaces and all; one without text is no label."""
    (tmp_path / "labels.txt").write_bytes((line_end.join(["cat", "", "größer 3"]) + end).encode())
    labels = read_labels(labelled("labels.txt"), tmp_path)["OUTPUT0"]
    assert list(labels)[:3] == [b"cat", b"", "größer 3".encode()]
    assert not any(labels[3:])


def test_outputs_without_a_file_have_no_labels(tmp_path):
    """Nothing is read for an output that names no file."""
    assert read_labels(model_config("m"), tmp_path) == {}


def test_missing_file_is_named(tmp_path):
    """A file that is not there is told with its path."""
    with pytest.raises(InternalError) as caught:
        read_labels(labelled("labels.txt"), tmp_path)
    assert str(caught.value) == f"failed to open text file for read {tmp_path}/labels.txt: No such file or directory"


@pytest.mark.parametrize("file", ["../labels.txt", "/etc/passwd"])
def test_labels_stay_in_the_model(tmp_path, file):
    """No file beside the model's own ones is read."""
    with pytest.raises(UnsupportedError) as caught:
        read_labels(labelled(file), tmp_path)
    assert str(caught.value) == f"label file path '{file}' for output 'OUTPUT0' in model 'm' is outside model directory"


def test_labels_come_with_the_model(server, model_repository):
    """A model that is loaded has its labels, and one whose file is missing does not load."""
    directory = write_model(model_repository, labelled("labels.txt"), {"labels.txt": "a\nb", "1/weights": ""})
    running = server(model_repository, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]))
    assert running.get("m").labels == {"OUTPUT0": (b"a", b"b")}
    (directory / "labels.txt").unlink()
    with pytest.raises(InvalidArgumentError, match="Internal: failed to open text file for read"):
        running.load("m")
    assert running.get("m").labels == {"OUTPUT0": (b"a", b"b")}

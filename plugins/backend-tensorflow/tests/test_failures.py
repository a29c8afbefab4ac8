"""What a person reads when a model of TensorFlow cannot be loaded: real failures, provoked here."""

from __future__ import annotations

import pytest
import tensorflow as tf
from charonia.errors import InternalError, UnavailableError
from charonia_backend_tensorflow.failures import run_failure


def test_missing_model_is_named(serve, repository, reason):
    """Nothing where the model should be is told with the place."""
    folder = repository(None, 'backend: "tensorflow"')
    (folder / "m" / "1").mkdir(exist_ok=True)
    told = reason(serve(folder))
    assert told.startswith(
        f"Not found: model 'm' has no '{folder / 'm' / '1' / 'model.savedmodel'}': put the directory"
    )


def test_directory_that_is_no_saved_model_says_how_to_make_one(serve, repository, reason, tmp_path):
    """A directory without the file that makes it a SavedModel is told, with the way from Keras."""
    (tmp_path / "empty").mkdir()
    told = reason(serve(repository(tmp_path / "empty")))
    assert "holds no saved_model.pb, and so is no SavedModel" in told
    assert "model.export(directory)" in told


def test_damaged_saved_model_is_told(serve, repository, models, reason):
    """A file that ends too soon is damaged."""
    saved = models.perceptron()
    content = (saved / "saved_model.pb").read_bytes()
    (saved / "saved_model.pb").write_bytes(content[:-100])
    assert "the SavedModel '" in (told := reason(serve(repository(saved))))
    assert "is damaged: " in told


def test_missing_variables_are_told(serve, repository, models, reason):
    """Weights that are not there are told with the model's path and TensorFlow's version, in one line."""
    saved = models.perceptron()
    for file in (saved / "variables").iterdir():
        file.unlink()
    told = reason(serve(repository(saved)))
    assert f"TensorFlow {tf.__version__} cannot load '" in told
    assert "variables" in told
    assert "\n" not in told


def test_garbage_is_no_graph(serve, repository, reason, full_config):
    """A file that is no GraphDef is told."""
    told = reason(serve(repository(b"no graph at all", full_config())))
    assert "model.graphdef' is no model of TensorFlow, or is damaged: " in told


def test_unknown_operator_is_told_with_the_place_for_its_library(serve, repository, reason, full_config):
    """An operator that TensorFlow lacks is named, and so is the field for libraries."""
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="Y", op="Magic")
    told = reason(serve(repository(graph.SerializeToString(), full_config())))
    assert told.startswith("Unsupported: '")
    assert f"uses the operator 'Magic', which TensorFlow {tf.__version__} does not have: name the library" in told
    assert told.endswith("in model_operations.op_library_filename")


@pytest.mark.parametrize(("platform", "other"), [("savedmodel", "graphdef"), ("graphdef", "savedmodel")])
def test_platform_of_the_other_kind_is_told(serve, repository, models, reason, full_config, platform, other):
    """A directory is no GraphDef, and a file no SavedModel."""
    model = models.frozen_perceptron() if platform == "savedmodel" else models.identity()
    more = f'platform: "tensorflow_{platform}" default_model_filename: "model.{other}"'
    told = reason(serve(repository(model, full_config(more))))
    assert f"has the platform tensorflow_{platform}, but '" in told
    assert f'write platform: "tensorflow_{other}"' in told


def test_failures_keep_their_kind():
    """A lack of memory is of the moment; what is not TensorFlow's own is INTERNAL with its own words."""
    assert type(run_failure(tf.errors.ResourceExhaustedError(None, None, "OOM"))) is UnavailableError
    failure = run_failure(RuntimeError("bad weather"))
    assert (type(failure), str(failure)) == (InternalError, "tensorflow error: bad weather")

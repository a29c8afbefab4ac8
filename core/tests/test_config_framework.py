"""Which backend loads a model."""

import pytest
from charonia.config import ModelConfig, infer_framework
from charonia.errors import ConfigError

NAMELESS = (
    "Invalid model name: Could not determine backend for model 'm' with no backend in model configuration. "
    "Expected model name of the form 'model.<backend_name>'."
)


@pytest.mark.parametrize(
    ("given", "files", "found"),
    [
        ({}, ["model.onnx"], ("onnxruntime_onnx", "onnxruntime", "model.onnx")),
        ({}, ["model.py", "model.onnx"], ("onnxruntime_onnx", "onnxruntime", "model.onnx")),
        ({}, ["model.savedmodel"], ("tensorflow_savedmodel", "tensorflow", "model.savedmodel")),
        ({}, ["model.graphdef"], ("tensorflow_graphdef", "tensorflow", "model.graphdef")),
        ({}, ["model.plan"], ("tensorrt_plan", "tensorrt", "model.plan")),
        ({}, ["model.xml", "model.bin"], ("", "openvino", "model.xml")),
        ({}, ["model.pt"], ("pytorch_libtorch", "pytorch", "model.pt")),
        ({}, ["model.pt2"], ("torch_aoti", "pytorch", "model.pt2")),
        ({}, ["model.py"], ("", "python", "model.py")),
        ({"platform": "onnxruntime_onnx"}, [], ("onnxruntime_onnx", "onnxruntime", "model.onnx")),
        ({"platform": "libtorch"}, [], ("libtorch", "pytorch", "model.pt")),
        ({"backend": "onnxruntime"}, [], ("onnxruntime_onnx", "onnxruntime", "model.onnx")),
        ({"backend": "tensorflow"}, ["model.graphdef"], ("tensorflow_graphdef", "tensorflow", "model.graphdef")),
        ({"backend": "python"}, ["model.onnx"], ("", "python", "model.py")),
        ({"backend": "python", "platform": "onnxruntime_onnx"}, [], ("onnxruntime_onnx", "python", "model.py")),
        (
            {"backend": "onnxruntime", "default_model_filename": "net.onnx"},
            [],
            ("onnxruntime_onnx", "onnxruntime", "net.onnx"),
        ),
        ({"default_model_filename": "model.py"}, [], ("", "python", "model.py")),
        ({"backend": "acme"}, ["model.onnx"], ("", "acme", "")),
        ({"platform": "ensemble"}, ["model.onnx"], ("ensemble", "", "")),
    ],
)
def test_each_is_filled_in_from_the_others_or_from_the_files(given, files, found):
    """The result is a copy with platform, backend and file name as far as they can be known."""
    config = ModelConfig(**given)
    filled = infer_framework(config, files, "m")
    assert (filled.platform, filled.backend, filled.default_model_filename) == found
    assert config == ModelConfig(**given)


def test_the_models_name_can_name_the_backend():
    """Where nothing else tells, the part after the first dot does."""
    filled = infer_framework(ModelConfig(), [], "resize.acme.v2")
    assert (filled.backend, filled.default_model_filename) == ("acme.v2", "model.acme.v2")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, NAMELESS),
        ({"platform": "foo"}, "unexpected platform type 'foo' for m"),
        (
            {"platform": "foo", "backend": "onnxruntime"},
            "unexpected 'platform' and 'backend' pair, got:foo, onnxruntime",
        ),
        (
            {"platform": "onnxruntime_onnx", "backend": "pytorch"},
            "unexpected 'platform' and 'backend' pair, got:onnxruntime_onnx, pytorch",
        ),
        (
            {"platform": "ensemble", "backend": "python"},
            "Ensemble model 'm' must have platform type 'ensemble' and empty backend type",
        ),
    ],
)
def test_what_does_not_go_together_is_told_as_in_the_reference(given, text):
    """Each contradiction has the reference's text."""
    with pytest.raises(ConfigError) as caught:
        infer_framework(ModelConfig(**given), ["model.bin"], "m", file="config.pbtxt")
    (problem,) = caught.value.problems
    assert problem.text == text
    assert caught.value.file == "config.pbtxt"


def test_a_misspelt_platform_names_the_nearest_one():
    """The hint is the platform that was probably meant."""
    with pytest.raises(ConfigError, match='did you mean "onnxruntime_onnx"'):
        infer_framework(ModelConfig(platform="onnxruntime_onx"), [], "m")


@pytest.mark.parametrize("backend", ["", "python"])
def test_a_schedule_of_an_ensemble_without_platform_is_left_to_the_checks(backend):
    """Their text says what is missing, which "no backend" would not."""
    config = ModelConfig(backend=backend)
    config.ensemble_scheduling.SetInParent()
    assert infer_framework(config, [], "m") == config


def test_what_is_there_instead_is_told():
    """A file under another name is the usual reason, so that the names which do are told beside those that are there."""
    with pytest.raises(ConfigError, match=r"model\.savedmodel, .*; there is: saved_model\.pb, variables"):
        infer_framework(ModelConfig(), ["variables", "saved_model.pb"], "m")
    with pytest.raises(ConfigError, match="; there is: nothing"):
        infer_framework(ModelConfig(), [], "m")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("net", r"'net' has no version: .* a directory named by a number, such as net/1/model\.onnx"),
        ("1", "'1' may be a version of a model: then the repository is the directory above this one"),
    ],
)
def test_a_model_without_versions_is_told_where_its_file_belongs(model, told):
    """It lacks the directory in between, or the directory that was given is that of a model."""
    with pytest.raises(ConfigError, match=told):
        infer_framework(ModelConfig(), None, model)

"""The parameters of models."""

from __future__ import annotations

import logging

import pytest
import torch
from charonia.config import ModelConfig
from charonia_backend_pytorch.parameters import PARAMETERS, parameters_of, process_wide
from google.protobuf import text_format
from torch_modules import Linear, Same

SHAPES = ([("x", "FP32", [1, 3])], [("y", "FP32", [1, 2])])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("INFERENCE_MODE", "false"),
        ("DISABLE_OPTIMIZED_EXECUTION", "true"),
        ("ENABLE_CACHE_CLEANING", "true"),
        ("ENABLE_WEIGHT_SHARING", "true"),
        ("somebody_elses", "word"),
    ],
)
def test_parameters_are_taken(serve, repository, config, parameter, reason, key, value):
    """Parameters of the reference are accepted, and so is a stranger's; the model runs with it, again and again."""
    server = serve(repository(Linear(), config(*SHAPES, parameter(key, value))))
    assert reason(server) == ""
    for _ in range(3):
        assert server.model("m").infer({"x": [[1.0, 2.0, 3.0]]})["y"].shape == (1, 2)


class Mode(torch.nn.Module):
    """Tells in which mode it runs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([float(torch.is_inference_mode_enabled()), float(torch.is_grad_enabled())])


class Optimised(torch.nn.Module):
    """Tells whether TorchScript would optimise what runs now."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([float(torch._C._get_graph_executor_optimize())])


@pytest.mark.parametrize(("said", "optimised"), [("true", 0), ("false", 1), ("", 1)])
def test_optimised_execution_can_be_switched_off(serve, repository, config, parameter, said, optimised):
    """The parameter is in force while the model runs, and leaves the thread as it was."""
    source = "import torch\n" + _source_of(Optimised)
    more = 'runtime: "model.py" ' + (parameter("DISABLE_OPTIMIZED_EXECUTION", said) if said else "")
    text = config([("x", "FP32", [1])], [("y", "FP32", [1])], more)
    server = serve(repository(lambda folder: (folder / "model.py").write_text(source), text))
    assert server.model("m").infer({"x": [0.0]})["y"].tolist() == [optimised]
    assert torch._C._get_graph_executor_optimize()


def test_build_without_that_switch_is_told(serve, repository, config, parameter, reason, monkeypatch):
    """Only a model that asks for the switch needs it."""
    plain = repository(Linear(), config(*SHAPES), name="plain")
    repository(Linear(), config(*SHAPES, parameter("DISABLE_OPTIMIZED_EXECUTION", "true")))
    monkeypatch.delattr(torch.jit, "optimized_execution")
    server = serve(plain)
    assert server.model("plain").ready
    assert "has no torch.jit.optimized_execution, and so no switch for what TorchScript optimises" in reason(server)


@pytest.mark.parametrize(("said", "inference"), [("true", 1), ("false", 0), ("", 1)])
def test_inference_mode_is_the_default_and_gradients_are_never_kept(
    serve, repository, config, parameter, said, inference
):
    """The parameter chooses between inference mode and the mere absence of gradients."""
    source = "import torch\n" + _source_of(Mode)
    more = 'runtime: "model.py" ' + (parameter("INFERENCE_MODE", said) if said else "")
    text = config([("x", "FP32", [1])], [("y", "FP32", [2])], more)
    server = serve(repository(lambda folder: (folder / "model.py").write_text(source), text))
    assert server.model("m").infer({"x": [0.0]})["y"].tolist() == [inference, 0]


def _source_of(kind):
    import inspect

    return inspect.getsource(kind)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("INFERENCE_MODE", "perhaps", "expected 0 or 1"),
        ("ENABLE_WEIGHT_SHARING", "2", "expected 0 or 1"),
        ("ENABLE_JIT_PROFILING", "maybe", "expected 0 or 1"),
        ("INTRA_OP_THREAD_COUNT", "many", "expected a whole number"),
        ("NUM_INTEROP_THREADS", "-1", "expected a whole number"),
    ],
)
def test_bad_values_are_told(serve, repository, config, parameter, reason, key, value, told):
    """A wrong value fails the model, and the reason says what is allowed."""
    text = reason(serve(repository(Linear(), config(*SHAPES, parameter(key, value)))))
    assert told in text
    assert key in text


def test_misspelt_parameter_is_told_in_the_log(serve, repository, config, parameter, caplog):
    """A parameter that is nearly one of ours is passed over, but not in silence."""
    with caplog.at_level(logging.WARNING):
        serve(repository(Linear(), config(*SHAPES, parameter("INFERENCE_MODES", "true"))))
    assert 'did you mean "INFERENCE_MODE"?' in caplog.text


def test_fuser_that_is_gone_is_told_in_the_log(serve, repository, config, parameter, caplog):
    """A model that asks for NvFuser serves with the fuser that there is."""
    text = config([("x", "FP32", [1])], [("y", "FP32", [1])], parameter("ENABLE_NVFUSER", "true"))
    with caplog.at_level(logging.WARNING):
        handle = serve(repository(Same(), text)).model("m")
    assert "ENABLE_NVFUSER has no effect" in caplog.text
    assert handle.infer({"x": [1.0]})["y"].tolist() == [1]


def test_names_of_both_runtimes_mean_the_same():
    """The reference has two pairs of names for the numbers of threads; 0 says nothing."""
    text = """
        name: "m" parameters { key: "NUM_THREADS" value { string_value: "3" } }
        parameters { key: "INTER_OP_THREAD_COUNT" value { string_value: "0" } }
        parameters { key: "DISABLE_CUDNN" value { string_value: "1" } }"""
    config = text_format.Parse(text, ModelConfig())
    assert process_wide(config) == {"INTRA_OP_THREAD_COUNT": 3, "DISABLE_CUDNN": 1}


def test_every_parameter_is_on_the_page():
    """The README's table has each of them."""
    from pathlib import Path

    page = (Path(__file__).parents[1] / "README.md").read_text()
    assert [name for name in PARAMETERS if f"`{name}`" not in page] == []


def test_parameters_are_the_models_own():
    """Nothing else than the model's configuration is read."""
    assert parameters_of(ModelConfig(name="m")).flag("INFERENCE_MODE", default=True)

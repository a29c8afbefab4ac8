"""Reading parameters and settings."""

from __future__ import annotations

import logging

import pytest
from charonia.errors import InvalidArgumentError
from charonia_backend_onnx.parameters import Parameters, warn_of_misspelt
from charonia_protos.model_config_pb2 import ModelConfig


def parameters(own=None, settings=None):
    config = ModelConfig(name="m")
    for key, value in (own or {}).items():
        config.parameters[key].string_value = value
    return Parameters(config, settings or {})


def test_model_wins_over_the_backends_setting():
    """The backend's setting is what models without a parameter of their own get."""
    assert parameters(settings={"intra_op_thread_count": "3"}).number("intra_op_thread_count") == 3
    both = parameters({"intra_op_thread_count": "0"}, {"intra_op_thread_count": "3"})
    assert both.number("intra_op_thread_count") == 0


def test_settings_of_the_backend_are_only_those_that_it_has():
    """A model's parameter is not read from the backend's settings."""
    assert parameters(settings={"enable_mem_arena": "0"}).flag("enable_mem_arena", default=True)


@pytest.mark.parametrize("text", ["-1", "1.5", "²", " 1", "one"])
def test_number_is_whole_and_not_negative(text):
    """Anything else names the parameter, the model, what was found and what is expected."""
    with pytest.raises(InvalidArgumentError) as caught:
        parameters({"gpu_mem_limit": text}).number("gpu_mem_limit")
    assert str(caught.value) == (
        f"parameter 'gpu_mem_limit' of model 'm' is '{text}': expected a whole number of 0 or more"
    )


def test_bad_setting_names_its_flag():
    """A wrong value on the command line is told in the command line's words."""
    with pytest.raises(InvalidArgumentError, match=r"^--backend-config=onnxruntime,inter_op_thread_count is 'x'"):
        Parameters(None, {"inter_op_thread_count": "x"}).number("inter_op_thread_count")


@pytest.mark.parametrize(("text", "expected"), [("0", False), ("1", True), ("TRUE", True), ("false", False)])
def test_flag_takes_numbers_and_words(text, expected):
    """The reference's 0 and 1, and what people write."""
    assert parameters({"enable_mem_arena": text}).flag("enable_mem_arena") is expected


@pytest.mark.parametrize("text", ["", "cpu:0", "gpu:1", "cpu:0;gpu:0"])
def test_arenas_are_passed_as_they_are_written(text):
    """ONNX Runtime's own notation."""
    assert parameters({"memory.enable_memory_arena_shrinkage": text}).shrinking_arenas() == text


def test_only_near_misses_are_told(caplog):
    """A stranger's parameter is none of our business."""
    with caplog.at_level(logging.WARNING):
        warn_of_misspelt("parameter", ["gpu_mem_limt", "acme", "gpu_mem_limit"], ["gpu_mem_limit"])
    assert [record.message for record in caplog.records] == [
        'parameter "gpu_mem_limt" is not known; did you mean "gpu_mem_limit"?'
    ]

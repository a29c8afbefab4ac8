"""What is particular in this backend's parameters and settings."""

from __future__ import annotations

import pytest
from charonia.errors import InvalidArgumentError
from charonia.testing.builders import model_config
from charonia_backend_onnx.parameters import parameters_of, shrinking_arenas

ARENAS = "memory.enable_memory_arena_shrinkage"


def test_settings_of_the_backend_are_only_those_that_it_has():
    """A model's parameter is not read from the backend's settings."""
    config = model_config("m")
    assert parameters_of(config, {"intra_op_thread_count": "3"}).number("intra_op_thread_count") == 3
    assert parameters_of(config, {"enable_mem_arena": "0"}).flag("enable_mem_arena", default=True)


@pytest.mark.parametrize("text", ["", "cpu:0", "gpu:1", "cpu:0;gpu:0"])
def test_arenas_are_passed_as_they_are_written(text):
    """ONNX Runtime's own notation."""
    assert shrinking_arenas(parameters_of(model_config("m", parameters={ARENAS: text}), {})) == text


def test_arenas_in_another_notation_are_told():
    """The text gives examples."""
    with pytest.raises(InvalidArgumentError, match="expected arenas such as cpu:0 or cpu:0;gpu:0"):
        shrinking_arenas(parameters_of(model_config("m", parameters={ARENAS: "cpu"}), {}))

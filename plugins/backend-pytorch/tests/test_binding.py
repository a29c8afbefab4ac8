"""Inputs of a configuration, and those that a scheduler makes, as arguments."""

from __future__ import annotations

import pytest
from charonia.config import ModelConfig
from charonia.errors import InvalidArgumentError
from charonia_backend_pytorch.binding import bind_inputs, output_indices
from charonia_backend_pytorch.interface import Interface, Place
from google.protobuf import text_format

SEQUENCES = """
    name: "m" input { name: "INPUT__0" data_type: TYPE_FP32 dims: 1 }
    sequence_batching {
      control_input { name: "START__1" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
      state { input_name: "STATE__2" output_name: "OUTPUT__1" data_type: TYPE_FP32 dims: 1 } }"""


def test_what_a_sequence_scheduler_makes_is_bound_like_inputs():
    """Controls and states find their arguments by the same rules, and come in the order of the call."""
    interface = Interface([Place("x"), Place("start"), Place("state")])
    bound = bind_inputs(text_format.Parse(SEQUENCES, ModelConfig()), interface)
    assert [(name, place.name) for name, place in bound.items()] == [
        ("INPUT__0", "x"),
        ("START__1", "start"),
        ("STATE__2", "state"),
    ]


def test_two_inputs_for_one_argument_are_refused():
    """A number that comes twice leads to one place, which is told."""
    text = """name: "m" input { name: "a__0" data_type: TYPE_FP32 dims: 1 } input { name: "b__0" data_type: TYPE_FP32 dims: 1 }"""
    with pytest.raises(InvalidArgumentError, match=r"expects 2 inputs \(a__0, b__0\), model provides 2"):
        bind_inputs(text_format.Parse(text, ModelConfig()), Interface([Place("x"), Place("y", required=False)]))


def test_one_result_may_be_served_twice():
    """Two outputs may stand for one result."""
    assert output_indices(["a__0", "b__0"], [()]) == [0, 0]

"""A configuration from an engine's tensors, and one that contradicts them."""

from __future__ import annotations

from pathlib import Path

import pytest
from charonia.backend import ModelContext
from charonia.config import parse_config
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia_backend_tensorrt.completion import check_against_engine, complete_from_engine
from charonia_backend_tensorrt.tensors import EngineTensor, Span

BATCHING = [
    EngineTensor(
        "x", True, DataType.FP32, (-1, 3), spans=(Span((1, 3), (4, 3), (8, 3)), Span((8, 3), (8, 3), (32, 3)))
    ),
    EngineTensor("y", False, DataType.FP16, (-1, 4)),
]
SHAPED = [
    EngineTensor("x", True, DataType.FP32, (-1,), spans=(Span((1,), (6,), (100,)),)),
    EngineTensor("s", True, DataType.INT64, (2,), on_host=True),
    EngineTensor("y", False, DataType.FP32, (-1, -1)),
]


def context(text="", schedulers=("dynamic_batching",)):
    config = parse_config(f'name: "m" platform: "tensorrt_plan" {text}', model="m", file="f", environment={}).config
    return ModelContext("m", 1, Path(), config, schedulers=frozenset(schedulers))


def test_batches_are_those_of_the_widest_profile():
    """Inputs, outputs, the largest batch of all profiles and dynamic batching come from the engine."""
    config = complete_from_engine(context(), BATCHING)
    assert config.max_batch_size == 32
    assert config.HasField("dynamic_batching")
    assert [(each.name, list(each.dims), each.data_type) for each in (*config.input, *config.output)] == [
        ("x", [3], DataType.FP32.number),
        ("y", [4], DataType.FP16.number),
    ]
    check_against_engine(config, BATCHING)


def test_shape_tensors_are_marked():
    """A shape tensor is called one, and the model does not batch."""
    config = complete_from_engine(context(), SHAPED)
    assert config.max_batch_size == 0
    assert [each.is_shape_tensor for each in config.input] == [False, True]
    check_against_engine(config, SHAPED)


def test_batches_beyond_the_profiles_are_refused():
    """The text has both sizes."""
    with pytest.raises(InvalidArgumentError, match="max_batch_size 64, but its engine takes batches of 32 at the most"):
        complete_from_engine(context("max_batch_size: 64"), BATCHING)


def written(more_x="", more_s="is_shape_tensor: true"):
    return context(
        f'input [ {{ name: "x" data_type: TYPE_FP32 dims: -1 {more_x} }}, '
        f'{{ name: "s" data_type: TYPE_INT64 dims: 2 {more_s} }} ] output {{ name: "y" data_type: TYPE_FP32 dims: [-1, -1] }}'
    ).config


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (written(more_s=""), "'s' in the configuration of model 'm' is called no shape tensor.*write is_shape_tensor"),
        (written(more_x="is_shape_tensor: true"), "'x' .* is called a shape tensor.*remove is_shape_tensor"),
        (written(more_x="is_non_linear_format_io: true"), "'x' .* has is_non_linear_format_io: remove it"),
    ],
    ids=["shape", "no shape", "order"],
)
def test_contradictions_are_refused(config, told):
    """What the configuration says of a tensor must be what the engine says."""
    with pytest.raises(InvalidArgumentError, match=told):
        check_against_engine(config, SHAPED)


def test_complete_configuration_fits():
    """What is right is not refused."""
    check_against_engine(written(), SHAPED)

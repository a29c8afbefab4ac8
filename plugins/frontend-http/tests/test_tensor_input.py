"""Shapes that are strange, and data in them: whatever they are, the answer is a tensor or the client's mistake."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.binary_tensor import element_count, tensor_from_bytes
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.tensor import MalformedTensor
from charonia_frontend_http.tensor_input import tensor_from_json
from hypothesis import given
from hypothesis import strategies as st

WHO = ("", "m")
SIZES = st.integers(0, 4) | st.sampled_from([2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
DATATYPES = st.sampled_from(list(DataType))


@given(st.lists(SIZES, max_size=70).map(tuple), DATATYPES, st.binary(max_size=16))
def test_any_shape_of_bytes(shape, datatype, body):
    """Binary data in any shape is a tensor of that shape, or is refused."""
    try:
        tensor = tensor_from_bytes("X", datatype, shape, memoryview(body), WHO)
    except InvalidArgumentError:
        return
    assert tensor.shape == shape


@given(st.lists(SIZES, max_size=70).map(tuple), DATATYPES, st.lists(st.integers(0, 1) | st.text(max_size=2)))
def test_any_shape_of_json(shape, datatype, data):
    """JSON data in any shape is a tensor of that shape, or is refused."""
    try:
        tensor = tensor_from_json("X", datatype, shape, data, WHO)
    except InvalidArgumentError:
        return
    assert tensor.shape == shape


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ((2**63,), "contains one or more invalid dimensions"),
        ((0, 2**63), "contains one or more invalid dimensions"),
        ((2**32, 2**31), "causes total element count to exceed maximum size of 9223372036854775807"),
    ],
)
def test_shapes_beyond_64_bits_are_told(shape, problem):
    """A shape that no 64-bit number counts is refused with the words of later releases of the reference."""
    with pytest.raises(InvalidArgumentError) as caught:
        element_count("X", shape)
    assert str(caught.value) == f"invalid shape for input 'X': shape [{','.join(map(str, shape))}] {problem}"


def test_shape_of_nothing_has_no_elements():
    """One dimension of 0 outweighs all others."""
    assert element_count("X", (2**62, 2**62, 0)) == 0


def test_huge_shape_costs_little():
    """A shape with a hundred thousand large dimensions is refused at once, not multiplied out to a number of megabytes."""
    with pytest.raises(InvalidArgumentError, match="causes total element count to exceed"):
        element_count("X", (2**62,) * 100_000)


@pytest.mark.parametrize("shape", [(1,) * 65, (0,) + (1,) * 70])
def test_more_dimensions_than_an_array_can_have_are_the_models_to_judge(shape):
    """The model's own check of the shape comes first; it does not know such a rank and says what it expects."""
    body = np.ones(np.prod(shape), np.float32)
    for tensor in (
        tensor_from_bytes("X", DataType.FP32, shape, memoryview(body.tobytes()), WHO),
        tensor_from_json("X", DataType.FP32, shape, body.tolist(), WHO),
    ):
        assert isinstance(tensor, MalformedTensor)
        assert tensor.shape == shape
        assert "invalid shape for input 'X'" in str(tensor.error)


def test_numbers_too_large_for_fp32_are_infinite():
    """As in the reference, and without a warning."""
    assert tensor_from_json("X", DataType.FP32, (2,), [1e39, -(10**39)], WHO).tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize("datatype", ["INT64", "UINT64"])
def test_every_64_bit_integer_is_kept(datatype):
    """No integer takes a detour over a double."""
    limits = np.iinfo(DataType[datatype].dtype)
    data = [int(limits.min), int(limits.max), 2**53 + 1]
    assert tensor_from_json("X", DataType[datatype], (3,), data, WHO).tolist() == data


@pytest.mark.parametrize(
    ("datatype", "data", "problem"),
    [
        ("FP32", [True], "non-number as double"),
        ("FP64", [None], "non-number as double"),
        ("FP64", [{}], "non-number as double"),
        ("INT32", [1.0], "non-signed-integer as signed-integer"),
        ("INT64", [2**63], "non-signed-integer as signed-integer"),
        ("INT8", [True], "non-signed-integer as signed-integer"),
        ("UINT8", [-1], "non-unsigned-integer as unsigned-integer"),
        ("UINT64", [2.0**64], "non-unsigned-integer as unsigned-integer"),
        ("BOOL", [1], "non-boolean as boolean"),
    ],
)
def test_elements_of_the_wrong_type_are_told(datatype, data, problem):
    """Each datatype takes its own JSON type."""
    with pytest.raises(InvalidArgumentError) as caught:
        tensor_from_json("X", DataType[datatype], (1,), data, WHO)
    assert str(caught.value) == f"Unable to parse 'data': attempt to access JSON {problem}"

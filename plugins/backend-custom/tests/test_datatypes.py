"""Names and numbers of datatypes, and the encoding of strings."""

from __future__ import annotations

import numpy as np
import pytest
import triton_python_backend_utils as pb_utils
from charonia.datatypes import DataType
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("datatype", list(DataType), ids=lambda datatype: datatype.name)
def test_each_datatype_has_its_numpy_type(datatype):
    """Name, number and numpy type lead to each other."""
    kind = pb_utils.triton_string_to_numpy(datatype.config_name)
    assert np.dtype(kind) == datatype.dtype
    assert pb_utils.triton_to_numpy_type(datatype.number) is kind
    assert pb_utils.numpy_to_triton_type(kind) == datatype.number
    assert pb_utils.TRITON_STRING_TO_NUMPY[datatype.config_name] is kind


def test_bytes_are_strings():
    """Numpy's own type of byte strings is that of string tensors, too; plain bool is that of BOOL."""
    assert pb_utils.numpy_to_triton_type(np.bytes_) == 13
    assert pb_utils.numpy_to_triton_type(bool) == 1


@pytest.mark.parametrize(
    "call", [pb_utils.triton_string_to_numpy, pb_utils.triton_to_numpy_type, pb_utils.numpy_to_triton_type]
)
def test_unknown_datatype(call):
    """What does not exist is a KeyError, as in the reference."""
    with pytest.raises(KeyError):
        call(0)


@given(st.lists(st.binary(), min_size=1))
def test_strings_come_back(elements):
    """Decoding is the inverse of encoding."""
    array = np.empty([len(elements)], np.object_)
    array[:] = elements
    decoded = pb_utils.deserialize_bytes_tensor(pb_utils.serialize_byte_tensor(array))
    assert decoded.tolist() == elements


def test_what_the_reference_encodes_otherwise():
    """Text is encoded, numbers become their digits, a tensor without elements is (), one of numbers None."""
    assert pb_utils.serialize_byte_tensor(np.array([["ä", 5]], np.object_)) == b"\x02\0\0\0\xc3\xa4\x01\0\0\x005"
    assert pb_utils.serialize_byte_tensor(np.array([b"ab"])) == b"\x02\0\0\0ab"
    assert pb_utils.serialize_byte_tensor(np.array([], np.object_)) == ()
    assert pb_utils.serialize_byte_tensor(np.array([1])) is None


def test_an_encoding_that_is_cut_off():
    """What is missing is told."""
    with pytest.raises(ValueError, match="is cut off in its last element: 1 of 2 bytes are there"):
        pb_utils.deserialize_bytes_tensor(b"\x02\0\0\0a")

"""Text, bfloat16 and other values on their way into ONNX Runtime and back."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from charonia.errors import InvalidArgumentError
from charonia_backend_onnx.values import array_of_value, as_bytes, as_text, as_value
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays


@given(st.lists(st.text(), max_size=20))
def test_text_comes_back_as_it_went(texts):
    """UTF-8 to text and back is the identity, NUL characters and empty strings included."""
    array = np.array([text.encode() for text in texts] + [None], dtype=np.object_)[:-1]
    there = as_text("X", array)
    assert there.tolist() == texts
    assert as_bytes(there).tolist() == array.tolist()


def test_text_keeps_its_shape():
    """The shape is the tensor's, a scalar's included."""
    for shape in ((), (2, 0), (2, 3)):
        array = np.full(shape, b"a", dtype=np.object_)
        assert as_bytes(as_text("X", array)).shape == shape


def test_bytes_that_are_no_text_are_refused():
    """The input is named, and so is what is wrong."""
    with pytest.raises(InvalidArgumentError, match="input 'X' has an element that is no UTF-8"):
        as_text("X", np.array([b"\xff"], dtype=np.object_))


@given(arrays.arrays(np.uint16, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)), st.booleans())
def test_bfloat16_comes_back_bit_by_bit(bits, transposed):
    """Every bit pattern, NaNs included, survives, whatever the shape and the strides."""
    array = bits.view(ml_dtypes.bfloat16)
    array = array.T if transposed else array
    back = array_of_value(as_value(array))
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


def test_other_datatypes_pass_unchanged():
    """Beside bfloat16, values hold what numpy holds."""
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert array_of_value(as_value(array)).tolist() == array.tolist()

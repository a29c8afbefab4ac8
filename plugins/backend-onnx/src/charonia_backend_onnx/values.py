"""Tensors that ONNX Runtime wants in another form than the server has them: text, bfloat16, scalars."""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.datatypes import DataType
from charonia.errors import InternalError, InvalidArgumentError

from charonia_backend_onnx.runtime import onnxruntime

if TYPE_CHECKING:
    from charonia.tensor import Array

__all__ = ["array_of_value", "as_bytes", "as_text", "as_value"]

_BFLOAT16 = 16
"""The number of bfloat16 in ONNX's own enum of element types."""


def as_text(name: str, array: Array) -> Array:
    """Make an object array of `str` from one of `bytes`: ONNX Runtime's strings are text to Python.

    Raises:
        InvalidArgumentError: an element of the input `name` is not UTF-8.
    """
    texts = np.empty(array.size, dtype=np.object_)
    try:
        texts[:] = list(map(bytes.decode, array.ravel().tolist()))
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"input '{name}' has an element that is no UTF-8 ({error.reason} at byte {error.start}): ONNX Runtime takes text only"
        ) from None
    return texts.reshape(array.shape)


def as_bytes(array: Array) -> Array:
    """Make an object array of `bytes` from one of `str`."""
    items = np.empty(array.size, dtype=np.object_)
    items[:] = list(map(str.encode, array.ravel().tolist()))
    return items.reshape(array.shape)


def as_value(array: Array) -> Any:
    """Make a value of ONNX Runtime's own from an array of any datatype but BYTES. It shares, and keeps, the array's memory."""
    dense = array if array.flags.c_contiguous else array.copy(order="C")
    make = onnxruntime().OrtValue
    if dense.dtype == DataType.BF16.dtype:  # numpy's types, which ONNX Runtime knows, have no bfloat16
        return make.ortvalue_from_numpy_with_onnx_type(dense.view(np.uint16), _BFLOAT16)
    return make.ortvalue_from_numpy(dense)


def array_of_value(value: Any) -> Array:
    """Copy a value of ONNX Runtime's own into an array."""
    if value.data_type() != "tensor(bfloat16)":
        array: Array = value.numpy()
        return array
    if value.device_name() != "cpu":
        raise InternalError(f"ONNX Runtime left a bfloat16 output on {value.device_name()}, where it cannot be read")
    shape = value.shape()
    size = math.prod(shape) * DataType.BF16.size
    data = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(data, dtype=DataType.BF16.dtype).reshape(shape)

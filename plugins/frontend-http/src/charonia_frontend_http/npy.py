"""Arrays in numpy's own file format, `.npy`, from and to bytes.

numpy's reader is left aside: it makes room for whatever shape a file claims before it looks whether the data is there.
"""

from __future__ import annotations

import io
import math
import tokenize
from typing import TYPE_CHECKING

import numpy as np
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from charonia.tensor import Array

__all__ = ["MAGIC", "read_npy", "write_npy"]

MAGIC = np.lib.format.MAGIC_PREFIX
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

_UNREADABLE = (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError, tokenize.TokenError)
"""What numpy raises where the head of a file, which is a literal in Python, is none."""


def read_npy(content: bytes, datatype: DataType) -> Array:
    """Read an array, without a copy where its bytes lie well.

    Args:
        content: the whole file.
        datatype: what the array is for. BF16, which the format does not know, is written as two bytes of no type (`V2`).

    Raises:
        InvalidArgumentError: it is no such file, it holds Python objects, or its data does not fit its shape.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise InvalidArgumentError(f"the .npy data has format version {version}, expected 1.0 or 2.0")
        shape, fortran_order, dtype = _HEADERS[version](stream)
    except _UNREADABLE as error:
        raise InvalidArgumentError(f"this is no .npy data: {error}") from error
    if dtype.hasobject:
        raise InvalidArgumentError(
            "the .npy data holds pickled Python objects, which are never read: save strings as an array of dtype S or U"
        )
    if dtype.itemsize == 0 and 0 not in shape:
        raise InvalidArgumentError(f"the .npy data claims shape {list(shape)} of elements of no size")
    if datatype is DataType.BF16 and dtype.kind == "V" and dtype.itemsize == datatype.size:
        dtype = datatype.dtype
    data = memoryview(content)[stream.tell() :]
    expected = math.prod(shape) * dtype.itemsize
    if any(size < 0 for size in shape) or len(data) != expected:
        raise InvalidArgumentError(
            f"the .npy data claims shape {list(shape)} of {dtype}, which are {expected} bytes, but {len(data)} bytes follow"
        )
    return _array(data, dtype, shape, "F" if fortran_order else "C")


def _array(data: memoryview, dtype: np.dtype, shape: tuple[int, ...], order: str) -> Array:
    if not data:
        flat: Array = np.zeros(math.prod(shape), dtype)
    elif dtype.kind == "b":
        flat = np.not_equal(np.frombuffer(data, np.uint8), 0)  # a byte of another value is no bool to numpy
    else:
        flat = np.frombuffer(data, dtype)
    try:
        shaped = flat.reshape(shape, order="F" if order == "F" else "C")
    except ValueError as error:  # more dimensions than numpy has
        raise InvalidArgumentError(f"the .npy data claims shape {list(shape)}: {error}") from error
    return np.require(shaped, requirements=["C", "A"])


def write_npy(name: str, array: Array) -> bytes:
    """Write an array. Strings become an array of dtype S, BF16 becomes two bytes of no type.

    Raises:
        InvalidArgumentError: a string ends with a NUL, which such an array cannot keep.
    """
    if array.dtype.kind == "O":
        items = [item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel().tolist()]
        if any(item.endswith(b"\0") for item in items):
            raise InvalidArgumentError(
                f"output '{name}' has strings that end with NUL, which .npy cannot keep: ask 'infer' for binary outputs"
            )
        array = np.array(items, dtype=np.bytes_).reshape(array.shape)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()

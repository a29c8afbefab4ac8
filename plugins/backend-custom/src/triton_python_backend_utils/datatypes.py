"""Datatypes by their names and numbers in the configuration, and the encoding of string tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from charonia.datatypes import DataType
from charonia.tensor import Array, decode_bytes, encode_bytes

__all__ = [
    "TRITON_STRING_TO_NUMPY",
    "deserialize_bytes_tensor",
    "numpy_to_triton_type",
    "serialize_byte_tensor",
    "triton_string_to_numpy",
    "triton_to_numpy_type",
]

_TYPES: dict[DataType, Any] = {
    datatype: np.bool_ if datatype is DataType.BOOL else datatype.dtype.type for datatype in DataType
}
TRITON_STRING_TO_NUMPY = {datatype.config_name: kind for datatype, kind in _TYPES.items()}
"""The numpy types by the datatypes' names in the configuration."""

_BY_NUMBER = {datatype.number: kind for datatype, kind in _TYPES.items()}
_NUMBERS = {kind: number for number, kind in _BY_NUMBER.items()} | {np.bytes_: DataType.BYTES.number, bool: 1}


def triton_string_to_numpy(triton_type_string: str) -> Any:
    """Give the numpy type of a datatype's name in the configuration: `numpy.float32` for "TYPE_FP32".

    "TYPE_BF16" is `ml_dtypes.bfloat16`, for which the reference has nothing.

    Raises:
        KeyError: there is no such datatype.
    """
    return TRITON_STRING_TO_NUMPY[triton_type_string]


def triton_to_numpy_type(data_type: int) -> Any:
    """Give the numpy type of a datatype's number in the configuration: `numpy.float32` for 11.

    Raises:
        KeyError: there is no such datatype.
    """
    return _BY_NUMBER[int(data_type)]


def numpy_to_triton_type(data_type: Any) -> int:
    """Give the number in the configuration of a numpy type, or of an array's dtype: 11 for `numpy.float32`.

    Raises:
        KeyError: no datatype is held in that type.
    """
    return _NUMBERS[data_type.type if isinstance(data_type, np.dtype) else data_type]


def serialize_byte_tensor(input_tensor: Array) -> bytes | tuple[()] | None:
    """Encode a string tensor as it travels: for each element its length in 4 bytes, then the element.

    Args:
        input_tensor: of dtype object or `S`, any shape; elements that are no bytes are encoded as the UTF-8 of their text.

    Returns:
        The bytes. As in the reference, an empty tuple for a tensor without elements, and None for one of another dtype.
    """
    if input_tensor.size == 0:
        return ()
    if input_tensor.dtype != np.object_ and input_tensor.dtype.kind != "S":
        return None
    elements = np.empty([input_tensor.size], dtype=np.object_)
    elements[:] = [item if isinstance(item, bytes) else str(item) for item in input_tensor.ravel().tolist()]
    return encode_bytes(elements)


def deserialize_bytes_tensor(encoded_tensor: bytes) -> Array:
    """Decode the elements of a string tensor; the inverse of `serialize_byte_tensor`.

    Args:
        encoded_tensor: as it travels, in row-major order.

    Returns:
        An array of dtype object and shape (elements,) that holds `bytes`.

    Raises:
        ValueError: the last element is cut off.
    """
    try:
        return decode_bytes(encoded_tensor)
    except ValueError as error:
        part, wanted, available = error.args
        raise ValueError(
            f"the encoded tensor is cut off in its last {part}: {available} of {wanted} bytes are there"
        ) from error

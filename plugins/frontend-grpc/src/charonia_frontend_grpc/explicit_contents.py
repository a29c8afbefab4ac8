"""From the typed `contents` of an input to a numpy array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.binary_tensor import tensor_from_bytes, tensor_from_strings
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.tensor import Array, MalformedTensor
    from charonia_protos.grpc_service_pb2 import InferTensorContents

__all__ = ["tensor_from_contents"]

_FIELDS = {
    "bool_contents": (DataType.BOOL,),
    "int_contents": (DataType.INT32, DataType.INT16, DataType.INT8),
    "int64_contents": (DataType.INT64,),
    "uint_contents": (DataType.UINT32, DataType.UINT16, DataType.UINT8),
    "uint64_contents": (DataType.UINT64,),
    "fp32_contents": (DataType.FP32,),
    "fp64_contents": (DataType.FP64,),
    "bytes_contents": (DataType.BYTES,),
}
"""Each field with the datatypes that it can hold, its own one first. FP16 and BF16 have none."""


def tensor_from_contents(
    name: str,
    datatype: DataType | None,
    shape: tuple[int, ...],
    contents: InferTensorContents,
    who: tuple[str, str],
) -> Array | MalformedTensor:
    """Make a tensor from the elements of a message. As in the reference, integers too large for a narrow datatype lose bits.

    Args:
        name: the input's name.
        datatype: its datatype, or None where the request names none of the protocol's.
        shape: its shape, without negative sizes.
        contents: the elements.
        who: the request's id and the model's name, for errors.

    Raises:
        InvalidArgumentError: the elements stand in a field of another datatype, or in two fields; or the shape is beyond all
            bounds.
    """
    values: Sequence[Any] = ()
    start = f"unexpected explicit tensor data for input tensor '{name}' for model '{who[1]}'"
    for field, elements in contents.ListFields():  # those that have elements, in the order of their numbers
        if values:
            raise InvalidArgumentError(f"{start}, binary data was already supplied.")
        accepted = _FIELDS[field.name]
        if datatype not in accepted:
            expected = "<invalid>" if datatype is None else datatype.name
            raise InvalidArgumentError(f"{start} of type '{accepted[0].name}', expected datatype '{expected}'")
        values = elements
    if datatype is DataType.BYTES:
        return tensor_from_strings(name, shape, values, who)
    if not values or datatype is None:
        return tensor_from_bytes(name, datatype, shape, b"", who)
    wide = np.fromiter(values, dtype=_wide(datatype), count=len(values))
    return tensor_from_bytes(name, datatype, shape, wide.astype(datatype.dtype, copy=False).tobytes(), who)


def _wide(datatype: DataType) -> np.dtype:
    """Give the dtype of the field that holds the elements of a datatype."""
    return next(accepted[0].dtype for accepted in _FIELDS.values() if datatype in accepted)

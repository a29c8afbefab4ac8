"""Tensors, and the encoding of BYTES tensors.

A tensor is a numpy array, or any object that speaks DLPack (a torch tensor on a GPU, say), so that data passes between
models without leaving its device. Whoever needs the bytes calls `as_numpy`.
"""

from __future__ import annotations

import struct
import textwrap
from operator import countOf
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from charonia.datatypes import DataType
from charonia.errors import InferenceError, InternalError, InvalidArgumentError
from charonia.received_strings import received, wire_form

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Array",
    "MalformedTensor",
    "SupportsDLPack",
    "Tensor",
    "actual_datatype",
    "as_numpy",
    "as_tensor",
    "byte_elements",
    "decode_bytes",
    "encode_bytes",
    "only_bytes",
]


_LENGTH = struct.Struct("<I")
"""What stands before each element of a BYTES tensor on the wire."""

_SHORT = 1 << 20


@runtime_checkable
class SupportsDLPack(Protocol):
    """What DLPack asks of an object that shares its memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any:
        """Export the memory as a capsule."""

    def __dlpack_device__(self) -> tuple[Any, int]:
        """Tell the device as (type, id)."""


Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A numpy array of any dtype and rank."""

Tensor: TypeAlias = Array | SupportsDLPack
"""A tensor of any datatype, on any device. BYTES tensors are numpy object arrays of `bytes`."""


class MalformedTensor:
    """Stands in a request for a tensor whose data does not fit its own datatype and shape.

    The reference looks at datatype and shape first and at the data last. A frontend therefore keeps what is wrong with the
    data until the model has had its say, and `error` is raised only if everything else was right.

    Attributes:
        datatype: what the request claims, or None where that is no datatype.
        shape: what the request claims.
        error: what is wrong with the data.
    """

    __slots__ = ("datatype", "error", "shape")
    # Never equal to the dtype that a model expects, so that validation takes its thorough way; None would be float64 to numpy.
    dtype = object()

    def __init__(self, datatype: DataType | None, shape: tuple[int, ...], error: InferenceError) -> None:
        self.datatype = datatype
        self.shape = shape
        self.error = error


_BF16 = DataType.BF16.dtype

_NO_WAY = (BufferError, RuntimeError, TypeError, ValueError)
"""What DLPack raises where a device or a datatype has no way into numpy."""


def as_numpy(tensor: Tensor) -> Array:
    """Give the tensor as a numpy array: itself, a view of CPU memory, or a copy from a device.

    Raises:
        InvalidArgumentError: the object's device or datatype has no way into numpy.
    """
    if isinstance(tensor, np.ndarray):
        return tensor
    try:
        return np.from_dlpack(tensor)
    except _NO_WAY as error:
        cause = error
    to_host = getattr(tensor, "cpu", None)  # torch; others export CPU memory
    try:
        if to_host is not None:
            return np.from_dlpack(to_host())
    except _NO_WAY as error:
        cause = error
    raise InvalidArgumentError(
        f"a {type(tensor).__name__} on device {tensor.__dlpack_device__()} cannot be read as a numpy array: {cause}"
    ) from cause


def actual_datatype(name: str, array: Array) -> tuple[Array, DataType]:
    """Tell the datatype of an output, which need not be the declared one, and give it with the bytes of numbers in our order.

    Raises:
        InternalError: the protocol does not know such a dtype.
    """
    try:
        datatype = DataType.of_dtype(array.dtype)
    except KeyError:
        raise InternalError(f"output '{name}' has dtype {array.dtype}, which the protocol does not know") from None
    if datatype is not DataType.BYTES and array.dtype != datatype.dtype:  # the bytes of each number in another order
        array = array.astype(datatype.dtype)
    return array, datatype


def as_tensor(value: object, datatype: DataType) -> Array:
    """Make a numpy array of `datatype` from what a caller in Python has at hand: an array, a list, a scalar, text.

    An array that has the datatype already is given back as it is. Numbers are converted only where no value changes kind
    (an int list to FP32, an int64 array to INT32 within range); text becomes its UTF-8 bytes.

    Raises:
        InvalidArgumentError: the value cannot be had in that datatype without losing something.
    """
    if isinstance(value, np.ndarray) and value.dtype == datatype.dtype and datatype is not DataType.BYTES:
        return value
    if datatype is DataType.BYTES:
        return _as_bytes_tensor(value)
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged
        raise InvalidArgumentError(f"cannot make a {datatype.name} tensor from {_brief(value)}: {error}") from None
    if not _is_kindred(array, datatype):
        reason = (
            f"text is no {datatype.name}" if array.dtype.kind in "US" else f"values of {array.dtype} would be changed"
        )
        raise InvalidArgumentError(f"cannot make a {datatype.name} tensor from {_brief(value)}: {reason}")
    with np.errstate(over="ignore"):
        converted = array.astype(datatype.dtype)
    if not _is_within_range(array, converted):
        raise InvalidArgumentError(
            f"cannot make a {datatype.name} tensor from {_brief(value)}: a value is beyond the range of {datatype.name}"
        )
    return converted


def _is_kindred(array: Array, datatype: DataType) -> bool:
    """Tell whether numbers of the array's dtype are of the kind that the datatype has."""
    if array.size == 0 or array.dtype == datatype.dtype:
        return True  # an empty list has no dtype of its own
    wanted = datatype.dtype.kind
    if wanted == "b":
        return array.dtype.kind == "b"
    return array.dtype.kind in ("iu" if wanted in "iu" else "iuf") or (wanted not in "iu" and array.dtype == _BF16)


def _is_within_range(array: Array, converted: Array) -> bool:
    if converted.dtype.kind in "iu":
        return np.array_equal(array, converted)
    if converted.dtype.kind == "b":
        return True
    return np.array_equal(np.isfinite(array), np.isfinite(converted))


def _as_bytes_tensor(value: object) -> Array:
    # not by way of numpy's own text, which loses trailing NULs and takes bytes for ASCII
    array = np.asarray(value, dtype=np.object_)
    items = array.ravel().tolist()
    if only_bytes(items):
        return array
    converted = np.empty(len(items), dtype=np.object_)
    try:
        converted[:] = list(map(str.encode, items))  # all are text, as a rule, or this raises an error
    except (TypeError, UnicodeEncodeError):
        converted[:] = [_encoded(item, value) for item in items]
    return converted.reshape(array.shape)


def _encoded(item: object, value: object) -> bytes:
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    if not isinstance(item, str):
        raise InvalidArgumentError(
            f"cannot make a BYTES tensor from {_brief(value)}: it holds str or bytes, not {type(item).__name__}"
        )
    try:
        return item.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"cannot make a BYTES element from {_brief(item)}: {error}") from error


def _brief(value: object) -> str:
    text = repr(value)
    return textwrap.shorten(text, 60)


def encode_bytes(tensor: Array) -> bytes:
    """Encode a BYTES tensor for the wire: each element's length as a little-endian uint32, then its bytes, in row-major order.

    Elements that are `str` (some backends give them) are encoded as UTF-8. Linear in the number of elements and bytes. What
    `decode_bytes` has made, and nobody has changed, is not encoded again.

    Raises:
        InternalError: an element is neither bytes nor text.
    """
    wire = wire_form(tensor)
    if wire is not None:
        return wire
    items = byte_elements(tensor)
    lengths = list(map(len, items))
    if items and lengths.count(lengths[0]) == len(items):
        return _LENGTH.pack(lengths[0]).join([b"", *items])
    parts = [b""] * (2 * len(items))
    parts[::2] = np.frombuffer(struct.pack(f"<{len(lengths)}I", *lengths), "V4").tolist()
    parts[1::2] = items
    return b"".join(parts)


def byte_elements(tensor: Array) -> list[bytes]:
    """List the elements of a BYTES tensor in row-major order, text among them as its UTF-8.

    Raises:
        InternalError: an element is neither bytes nor text.
    """
    items = tensor.ravel().tolist()
    return items if only_bytes(items) else [_element(item) for item in items]


def only_bytes(items: Sequence[object]) -> bool:
    """Tell whether all elements are `bytes`."""
    return countOf(map(type, items), bytes) == len(items)


def _element(item: object) -> bytes:
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    if isinstance(item, str):
        try:
            return item.encode()
        except UnicodeEncodeError as error:
            raise InternalError(f"a BYTES tensor holds text that is no Unicode: {error}") from error
    raise InternalError(f"a BYTES tensor holds str or bytes, not {type(item).__name__}")


def decode_bytes(buffer: bytes | bytearray | memoryview) -> Array:
    """Decode a BYTES tensor from the wire into a flat array of its elements; the inverse of `encode_bytes`. Linear in the bytes.

    Raises:
        ValueError: a length word or an element is cut off. `args` are (kind, wanted, available), where kind is "length" or
            "element", so that the caller can word the error for its protocol.
    """
    wire = bytes(buffer)
    equal = _equal_elements(wire)
    return received(_each_element(wire) if equal is None else equal, wire)


def _equal_elements(wire: bytes) -> Array | None:
    """Find short elements that are all of one length, which takes a tenth of the time; None if they are not."""
    size = _LENGTH.unpack_from(wire)[0] if len(wire) >= _LENGTH.size else 0
    if not 0 < size <= _SHORT or len(wire) % (_LENGTH.size + size):
        return None
    records = np.frombuffer(wire, [("length", "<u4"), ("element", f"V{size}")])
    return records["element"] if (records["length"] == size).all() else None


def _each_element(wire: bytes) -> list[bytes]:
    end = len(wire)
    unpack = _LENGTH.unpack_from
    items: list[bytes] = []
    append = items.append
    at = size = 0
    while at < end:
        if at + 4 > end:
            raise ValueError("length", 4, end - at)
        (size,) = unpack(wire, at)
        at += 4
        stop = at + size
        append(wire[at:stop])
        at = stop
    if at > end:
        raise ValueError("element", size, size - (at - end))
    return items

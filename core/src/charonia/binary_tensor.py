"""From the binary form of an input, as the protocol sends it on any transport, to a numpy array.

What is wrong with the data is not raised but given as a malformed tensor, since the model's check of datatype and shape comes
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from charonia.datatypes import DataType
from charonia.errors import InferenceError, InvalidArgumentError
from charonia.tensor import MalformedTensor, decode_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.tensor import Array

__all__ = ["element_count", "shaped", "tensor_from_bytes", "tensor_from_strings", "too_few_strings"]

_MAX_ELEMENTS = 2**63 - 1


def element_count(name: str, shape: tuple[int, ...]) -> int:
    """Multiply a shape, which has no negative sizes.

    Raises:
        InvalidArgumentError: no 64-bit number holds it; with the text of later releases of the reference.
    """
    count = 1
    for size in shape:
        count *= size
        if count > _MAX_ELEMENTS:  # now, since the next products might have millions of digits
            return _nothing_or_refused(name, shape)
    return count if count or not shape or max(shape) <= _MAX_ELEMENTS else _nothing_or_refused(name, shape)


def _nothing_or_refused(name: str, shape: tuple[int, ...]) -> int:
    """Give 0 for a shape of too large a product that has nothing in it, since a dimension is 0. Refuse any other."""
    problem = f"invalid shape for input '{name}': shape [{','.join(map(str, shape))}]"
    if max(shape) > _MAX_ELEMENTS:
        raise InvalidArgumentError(f"{problem} contains one or more invalid dimensions")
    if 0 in shape:
        return 0
    raise InvalidArgumentError(f"{problem} causes total element count to exceed maximum size of {_MAX_ELEMENTS}")


def shaped(name: str, datatype: DataType, array: Array, shape: tuple[int, ...]) -> Array | MalformedTensor:
    """Give an array its shape, which has as many elements, unless no array can have it: more than 64 dimensions, say."""
    try:
        return array.reshape(shape)
    except ValueError as error:
        written = f"[{','.join(map(str, shape))}]"
        problem = InvalidArgumentError(f"invalid shape for input '{name}': shape {written}: {error}")
        return MalformedTensor(datatype, shape, problem)


def tensor_from_bytes(
    name: str, datatype: DataType | None, shape: tuple[int, ...], body: bytes | memoryview, who: tuple[str, str]
) -> Array | MalformedTensor:
    """Make a tensor from its binary form, without a copy where the bytes lie well.

    Args:
        name: the input's name.
        datatype: its datatype, or None where the request names none of the protocol's.
        shape: its shape, without negative sizes.
        body: exactly its bytes.
        who: the request's id and the model's name, for errors.

    Raises:
        InvalidArgumentError: the shape is beyond all bounds.
    """
    if datatype is None:
        return MalformedTensor(None, shape, InvalidArgumentError(f"invalid datatype for input {name}"))
    count = element_count(name, shape)
    try:
        if datatype is DataType.BYTES:
            strings = _decoded(name, body, who)
            _check_count(name, count, len(strings), who)
            return shaped(name, datatype, strings, shape)
        if len(body) != count * datatype.size:
            raise _mismatch(name, count * datatype.size, len(body), who)
    except InferenceError as error:
        return MalformedTensor(datatype, shape, error)
    if datatype is DataType.BOOL:
        return shaped(name, datatype, np.not_equal(np.frombuffer(body, dtype=np.uint8), 0), shape)
    array = np.frombuffer(body, dtype=datatype.dtype)
    # A frontend cannot choose where in the body a tensor starts, and frameworks read whole words.
    return shaped(name, datatype, array if array.flags.aligned else array.copy(), shape)


def tensor_from_strings(
    name: str, shape: tuple[int, ...], items: Sequence[bytes], who: tuple[str, str]
) -> Array | MalformedTensor:
    """Make a BYTES tensor from its elements in row-major order. Otherwise as `tensor_from_bytes`."""
    count = element_count(name, shape)
    try:
        _check_count(name, count, len(items), who)
        array = np.empty(count, dtype=np.object_)
        array[:] = items[:]  # a list, where it is a message's field, which is slow to go through
        return shaped(name, DataType.BYTES, array, shape)
    except InferenceError as error:
        return MalformedTensor(DataType.BYTES, shape, error)


def _prefix(who: tuple[str, str]) -> str:
    return f"[request id: {who[0] or '<id_unknown>'}] "


def _mismatch(name: str, expected: int, got: int, who: tuple[str, str]) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{_prefix(who)}input byte size mismatch for input '{name}' for model '{who[1]}'. Expected {expected}, got {got}"
    )


def too_few_strings(name: str, expected: int, got: int, who: tuple[str, str]) -> InvalidArgumentError:
    """Word the lack of elements in a BYTES tensor."""
    return InvalidArgumentError(
        f"{_prefix(who)}expected {expected} string elements for inference input '{name}' for model '{who[1]}', got {got}"
    )


def _decoded(name: str, body: bytes | memoryview, who: tuple[str, str]) -> Array:
    prefix, model = _prefix(who), who[1]
    try:
        return decode_bytes(body)
    except ValueError as error:
        part, wanted, available = error.args
        if part == "length":
            raise InvalidArgumentError(
                f"{prefix}incomplete string length indicator for inference input '{name}' for model '{model}', expecting "
                f"{wanted} bytes but only {available} bytes available. Please make sure the string length indicator is in "
                "one buffer."
            ) from None
        # in the reference the model's backend finds this, and names neither request nor model
        raise InvalidArgumentError(
            f"incomplete string data for inference input '{name}', expecting string of length {wanted} but only "
            f"{available} bytes available"
        ) from None


def _check_count(name: str, count: int, got: int, who: tuple[str, str]) -> None:
    if got > count:
        raise InvalidArgumentError(
            f"{_prefix(who)}unexpected number of string elements {count + 1} for inference input '{name}' for model "
            f"'{who[1]}', expecting {count}"
        )
    if got < count:
        raise too_few_strings(name, count, got, who)

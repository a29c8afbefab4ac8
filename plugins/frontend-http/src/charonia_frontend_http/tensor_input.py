"""From the data of an input, JSON or binary, to a numpy array."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.datatypes import DataType
from charonia.errors import InferenceError, InvalidArgumentError
from charonia.tensor import MalformedTensor, decode_bytes

from charonia_frontend_http.json_access import wrong_type
from charonia_frontend_http.json_parser import MAX_DEPTH

if TYPE_CHECKING:
    from charonia.tensor import Array

__all__ = ["element_count", "tensor_from_bytes", "tensor_from_json"]

_DATA = "Unable to parse 'data': "
_MAX_ELEMENTS = 2**63 - 1


def element_count(name: str, shape: tuple[int, ...]) -> int:
    """Multiply a shape. Refuses sizes that no 64-bit number holds, as later releases of the reference do."""
    count = 1
    for size in shape:
        count *= size
        if count > _MAX_ELEMENTS:  # now, since the next products might have millions of digits
            return _refuse_count(name, shape)
    return count if count or not shape or max(shape) <= _MAX_ELEMENTS else _refuse_count(name, shape)


def _refuse_count(name: str, shape: tuple[int, ...]) -> int:
    """Tell what is wrong with a shape that is too large, unless a dimension of 0 makes it the shape of nothing."""
    problem = f"invalid shape for input '{name}': shape [{','.join(map(str, shape))}]"
    if max(shape) > _MAX_ELEMENTS:
        raise InvalidArgumentError(f"{problem} contains one or more invalid dimensions")
    if 0 in shape:
        return 0
    raise InvalidArgumentError(f"{problem} causes total element count to exceed maximum size of {_MAX_ELEMENTS}")


def _shaped(name: str, datatype: DataType, array: Array, shape: tuple[int, ...]) -> Array | MalformedTensor:
    """Give an array its shape, which has as many elements, unless no array can have it: more than 64 dimensions, say."""
    try:
        return array.reshape(shape)
    except ValueError as error:
        written = f"[{','.join(map(str, shape))}]"
        problem = InvalidArgumentError(f"invalid shape for input '{name}': shape {written}: {error}")
        return MalformedTensor(datatype, shape, problem)


def tensor_from_json(
    name: str, datatype: DataType | None, shape: tuple[int, ...], data: list[Any], who: tuple[str, str]
) -> Array | MalformedTensor:
    """Make a tensor from a JSON array of any nesting; only the leaves in their order count, as in the reference.

    Integers outside a narrow datatype's range wrap around, as in the reference. Too few strings make a malformed tensor, like
    too few bytes of a binary one.

    Args:
        name: the input's name.
        datatype: its datatype, or None where the request names none of the protocol's.
        shape: its shape.
        data: the array.
        who: the request's id and the model's name, for errors.

    Raises:
        InvalidArgumentError: an element is of the wrong type, or there are too few or too many.
    """
    if datatype is None:
        raise InvalidArgumentError(f"invalid datatype for input {name}")
    if datatype in {DataType.FP16, DataType.BF16}:
        raise InvalidArgumentError(
            f"receiving {datatype.name} data via JSON is not supported. Please use the binary data format for input {name}"
        )
    count = element_count(name, shape)
    if count == 0:
        return _shaped(name, datatype, np.empty(0, dtype=datatype.dtype), shape)
    flat = _flatten(data)
    array = _typed(flat, datatype)
    if array.size > count:
        raise InvalidArgumentError(f"{_DATA}Shape does not match true shape of 'data' field")
    if array.size < count and datatype is DataType.BYTES:
        return MalformedTensor(datatype, shape, _too_few_strings(name, count, array.size, who))
    if array.size < count:
        raise InvalidArgumentError("Failed to parse 'data' field: shape does not match true shape")
    return _shaped(name, datatype, array, shape)


def _flatten(data: list[Any]) -> list[Any]:
    depth = 1
    while list in (kinds := set(map(type, data))):
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidArgumentError(f"JSON nesting depth exceeds maximum allowed limit ({MAX_DEPTH})")
        if kinds == {list}:
            data = list(itertools.chain.from_iterable(data))
        else:
            data = list(itertools.chain.from_iterable(item if type(item) is list else (item,) for item in data))
    return data


def _typed(flat: list[Any], datatype: DataType) -> Array:
    kinds = set(map(type, flat))
    kind = datatype.dtype.kind
    if kind == "f":
        if not kinds <= {int, float}:
            raise wrong_type("number", _DATA)
        with np.errstate(over="ignore"):  # as in the reference, a number too large for FP32 is infinite
            return np.array(flat, dtype=np.float64).astype(datatype.dtype, copy=False)
    if kind in "iu":
        return _integers(flat, kinds, datatype)
    if kind == "b":
        if not kinds <= {bool}:
            raise wrong_type("boolean", _DATA)
        return np.array(flat, dtype=np.bool_)
    if not kinds <= {str}:
        raise wrong_type("string", "Unable to parse JSON bytes array: ")
    array = np.empty(len(flat), dtype=np.object_)
    array[:] = [item.encode("utf-8", "surrogateescape") for item in flat]
    return array


def _integers(flat: list[Any], kinds: set[type], datatype: DataType) -> Array:
    signed = datatype.dtype.kind == "i"
    wide = np.int64 if signed else np.uint64
    if kinds <= {int}:
        try:
            return np.array(flat, dtype=wide).astype(datatype.dtype, copy=False)
        except OverflowError:
            pass
    raise wrong_type("signed" if signed else "unsigned", _DATA)


def tensor_from_bytes(
    name: str, datatype: DataType | None, shape: tuple[int, ...], body: memoryview, who: tuple[str, str]
) -> Array | MalformedTensor:
    """Make a tensor from its binary form, without a copy where the bytes lie well.

    What is wrong with the data is not raised but given as a malformed tensor, since the model's check of datatype and shape
    comes first.

    Args:
        name: the input's name.
        datatype: its datatype, or None where the request names none of the protocol's.
        shape: its shape.
        body: exactly its bytes.
        who: the request's id and the model's name, for errors.
    """
    if datatype is None:
        return MalformedTensor(None, shape, InvalidArgumentError(f"invalid datatype for input {name}"))
    count = element_count(name, shape)
    try:
        if datatype is DataType.BYTES:
            return _shaped(name, datatype, _strings(name, count, body, who), shape)
        if body.nbytes != count * datatype.size:
            raise _mismatch(name, count * datatype.size, body.nbytes, who)
    except InferenceError as error:
        return MalformedTensor(datatype, shape, error)
    if datatype is DataType.BOOL:
        return _shaped(name, datatype, np.not_equal(np.frombuffer(body, dtype=np.uint8), 0), shape)
    array = np.frombuffer(body, dtype=datatype.dtype)
    # A frontend cannot choose where in the body a tensor starts, and frameworks read whole words.
    return _shaped(name, datatype, array if array.flags.aligned else array.copy(), shape)


def _prefix(who: tuple[str, str]) -> str:
    return f"[request id: {who[0] or '<id_unknown>'}] "


def _mismatch(name: str, expected: int, got: int, who: tuple[str, str]) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{_prefix(who)}input byte size mismatch for input '{name}' for model '{who[1]}'. Expected {expected}, got {got}"
    )


def _too_few_strings(name: str, expected: int, got: int, who: tuple[str, str]) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{_prefix(who)}expected {expected} string elements for inference input '{name}' for model '{who[1]}', got {got}"
    )


def _strings(name: str, count: int, body: memoryview, who: tuple[str, str]) -> Array:
    prefix, model = _prefix(who), who[1]
    try:
        items = decode_bytes(body)
    except ValueError as error:
        part, wanted, available = error.args
        if part == "length":
            raise InvalidArgumentError(
                f"{prefix}incomplete string length indicator for inference input '{name}' for model '{model}', expecting "
                f"{wanted} bytes but only {available} bytes available. Please make sure the string length indicator is in "
                "one buffer."
            ) from None
        raise InvalidArgumentError(
            f"{prefix}incomplete string data for inference input '{name}' for model '{model}', expecting string of length "
            f"{wanted} but only {available} bytes available"
        ) from None
    if len(items) > count:
        raise InvalidArgumentError(
            f"{prefix}unexpected number of string elements {count + 1} for inference input '{name}' for model '{model}', "
            f"expecting {count}"
        )
    if len(items) < count:
        raise _too_few_strings(name, count, len(items), who)
    array = np.empty(count, dtype=np.object_)
    array[:] = items
    return array

"""From the JSON data of an input to a numpy array."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.binary_tensor import element_count, shaped, too_few_strings
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.tensor import MalformedTensor

from charonia_frontend_http.json_access import wrong_type

if TYPE_CHECKING:
    from charonia.tensor import Array

__all__ = ["tensor_from_json"]

_DATA = "Unable to parse 'data': "


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
        return shaped(name, datatype, np.empty(0, dtype=datatype.dtype), shape)
    flat = _flatten(data)
    array = _typed(flat, datatype)
    if array.size > count:
        raise InvalidArgumentError(f"{_DATA}Shape does not match true shape of 'data' field")
    if array.size < count and datatype is DataType.BYTES:
        return MalformedTensor(datatype, shape, too_few_strings(name, count, array.size, who))
    if array.size < count:
        raise InvalidArgumentError("Failed to parse 'data' field: shape does not match true shape")
    return shaped(name, datatype, array, shape)


def _flatten(data: list[Any]) -> list[Any]:
    while list in (kinds := set(map(type, data))):
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
    array[:] = _encoded(flat)
    return array


def _encoded(texts: list[str]) -> list[bytes]:
    try:
        return list(map(str.encode, texts))  # half the time of the other way
    except UnicodeEncodeError:
        return [text.encode("utf-8", "surrogateescape") for text in texts]


def _integers(flat: list[Any], kinds: set[type], datatype: DataType) -> Array:
    signed = datatype.dtype.kind == "i"
    wide = np.int64 if signed else np.uint64
    if kinds <= {int}:
        try:
            return np.array(flat, dtype=wide).astype(datatype.dtype, copy=False)
        except OverflowError:
            pass
    raise wrong_type("signed" if signed else "unsigned", _DATA)

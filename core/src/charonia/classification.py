"""The classification extension: an output's greatest elements, told as text, instead of the output."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.tensor import Array, Tensor

__all__ = ["MAX_ELEMENTS", "classify", "takes_long"]

MAX_ELEMENTS = 1_000_000
"""The size of the largest output that is classified, as in later releases of the reference."""

_SORTED_AT_ONCE = 10_000
"""The size of outputs that an event loop classifies by itself, in elements."""


def takes_long(outputs: Mapping[str, Tensor]) -> bool:
    """Tell whether classifying some of these outputs would keep an event loop from its other clients."""
    return any(math.prod(tensor.shape) > _SORTED_AT_ONCE for tensor in outputs.values())


def classify(array: Array, count: int, *, batched: bool, labels: Sequence[bytes] = ()) -> Array:
    """Give the greatest elements of an output, or of each of its rows, as text with their place and label.

    The order is that of the reference: greatest first, and equal ones by their place. NaN comes last.

    Args:
        array: the output: integers or floating-point numbers of any shape.
        count: how many elements are wanted; 1 or more. All are given where there are fewer.
        batched: whether the first dimension, where there is one, is the batch. The others are taken as one.
        labels: the label of the element at each place, as far as there are any; b"" is none.

    Returns:
        A BYTES tensor of the shape [n], or [batch, n] where it is batched. An element is `<value>:<index>` or
        `<value>:<index>:<label>`; floating-point values have six decimals.

    Raises:
        InvalidArgumentError: the elements are no numbers, or too many.
    """
    kind = array.dtype.kind
    if kind not in "iuf" and array.dtype != DataType.BF16.dtype:
        name = DataType.of_dtype(array.dtype).name
        raise InvalidArgumentError(f"class result not available for output due to unsupported type '{name}'")
    if array.size > MAX_ELEMENTS:
        raise InvalidArgumentError("classification output tensor too large")
    batched = batched and array.ndim > 0
    rows = array.reshape(array.shape[0], math.prod(array.shape[1:])) if batched else array.reshape(1, -1)
    # what is sorted first comes first: the greatest number has the least key
    keys = ~rows if kind in "iu" else -rows.astype(np.promote_types(rows.dtype, np.float32), copy=False)
    places = np.empty((len(rows), min(count, rows.shape[1])), np.intp)
    for row, row_keys in enumerate(keys):
        places[row] = _first(row_keys, count)
    values = np.take_along_axis(rows, places, axis=1).tolist()
    written = "%d:%d" if kind in "iu" else "%f:%d"
    texts: Array = np.empty(places.shape, dtype=np.object_)
    for row, (row_values, row_places) in enumerate(zip(values, places.tolist(), strict=True)):
        for column, (value, place) in enumerate(zip(row_values, row_places, strict=True)):
            label = labels[place] if place < len(labels) else b""
            texts[row, column] = (written % (value, place)).encode() + (b":" + label if label else b"")
    return texts if batched else texts[0]


def _first(keys: Array, count: int) -> Array:
    """Give the places of the least keys, in the order of key and place; with few of many wanted, without sorting all."""
    if count < keys.size // 8:
        bound = np.partition(keys, count - 1)[count - 1]
        candidates = np.flatnonzero(keys <= bound)
        if candidates.size >= count:  # else the bound is NaN
            return candidates[np.argsort(keys[candidates], kind="stable")[:count]]
    return np.argsort(keys, kind="stable")[:count]

"""Strings that came over the wire and remember as what, so that what is passed on as it came need not be encoded again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["received", "wire_form"]

_FEW = 1024
"""So many bytes are encoded in less time than it takes to remember them."""


class _Received(np.ndarray[Any, np.dtype[np.object_]]):
    """The memory of the elements, which nobody sees but as the base of the plain arrays that are views of it.

    Attributes:
        wire: the bytes as which the elements came.
        came: the elements that came. As long as they are held here, an element in the same place of the memory is the same one.
    """

    wire: bytes
    came: np.ndarray[Any, np.dtype[np.object_]]


def received(
    elements: Sequence[bytes] | np.ndarray[Any, np.dtype[Any]], wire: bytes
) -> np.ndarray[Any, np.dtype[np.object_]]:
    """Make a flat array of elements, which may be written to, as any other.

    Args:
        elements: the elements, or an array that becomes them when it is made one of objects.
        wire: the bytes as which they came.
    """
    if len(wire) < _FEW:
        few: np.ndarray[Any, np.dtype[np.object_]] = np.empty(len(elements), np.object_)
        few[:] = elements
        return few
    memory = _Received(len(elements), np.object_)  # its own, so that it stays the base of its views
    memory[:] = elements
    array = memory.view(np.ndarray)
    memory.wire, memory.came = wire, array.copy()
    return array


def wire_form(array: np.ndarray[Any, np.dtype[Any]]) -> bytes | None:
    """Give the bytes as which all elements of an array came, in their order; None if they did not, or one was replaced."""
    memory: object = array
    while type(memory) is np.ndarray:
        memory = memory.base
    if not isinstance(memory, _Received) or array.size != memory.size or not array.flags.c_contiguous:
        return None  # as many elements as there are, one after the other, are all of them, whatever the shape
    return memory.wire if memory.tobytes() == memory.came.tobytes() else None  # for objects, those are their addresses

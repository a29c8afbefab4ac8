"""Responses that nobody can change any more, and the memory that they take."""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from charonia.cache import CachedResponse

if TYPE_CHECKING:
    from charonia.tensor import Array

__all__ = ["frozen", "memory_of"]

_ENTRY_BYTES = 512
"""What an entry takes beside its elements: the key and its place in the table. Measured, rounded up."""

_OUTPUT_BYTES = 448
"""What each output takes beside its elements: its name and its arrays. Measured, rounded up."""


def frozen(response: CachedResponse) -> CachedResponse:
    """Copy a response, so that the copy can never change."""
    outputs = {name: _frozen_array(array) for name, array in response.outputs.items()}
    return CachedResponse(MappingProxyType(outputs), MappingProxyType(dict(response.parameters)))


def _frozen_array(array: Array) -> Array:
    if not array.dtype.hasobject:
        # Memory of a bytes object: numpy does not let anybody make this array writable.
        return np.ndarray(array.shape, array.dtype, array.tobytes())
    elements = np.empty(array.size, dtype=np.object_)
    elements[:] = [item if isinstance(item, bytes | str) else bytes(item) for item in array.ravel().tolist()]
    elements.flags.writeable = False
    return elements.reshape(array.shape)  # a view: whoever has it cannot make it writable


def memory_of(response: CachedResponse) -> int:
    """Tell how many bytes of memory a frozen copy of a response takes."""
    sizes = (_memory_of_array(array) + _OUTPUT_BYTES for array in response.outputs.values())
    texts = sum(sys.getsizeof(name) + sys.getsizeof(value) for name, value in response.parameters.items())
    return _ENTRY_BYTES + texts + sum(sizes)


def _memory_of_array(array: Array) -> int:
    if not array.dtype.hasobject:
        return array.nbytes
    return array.nbytes + sum(map(sys.getsizeof, array.ravel().tolist()))

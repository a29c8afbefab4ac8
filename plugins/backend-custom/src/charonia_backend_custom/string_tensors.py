"""String tensors as models give them, made into such as the core knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from charonia.received_strings import wire_form
from charonia.tensor import only_bytes

if TYPE_CHECKING:
    from charonia.tensor import Array, Tensor

__all__ = ["with_bytes"]


def with_bytes(tensor: Tensor) -> Tensor:
    """Make the elements of a string tensor bytes; as in the reference, numbers among them become their digits."""
    if not isinstance(tensor, np.ndarray) or tensor.dtype != np.object_:
        return tensor
    if wire_form(tensor) is not None:
        return tensor
    elements = tensor.ravel().tolist()
    if only_bytes(elements):
        return tensor
    encoded: Array = np.empty(tensor.shape, np.object_)
    encoded.ravel()[:] = _all_as_bytes(elements)
    return encoded


def _all_as_bytes(elements: list[object]) -> list[bytes]:
    try:
        return list(map(str.encode, elements))  # type: ignore[arg-type]  # all are text, as a rule, or this raises a TypeError
    except TypeError:
        return [_as_bytes(element) for element in elements]


def _as_bytes(element: object) -> bytes:
    return bytes(element) if isinstance(element, bytes | bytearray | memoryview) else str(element).encode()

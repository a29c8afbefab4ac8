"""Where a tensor lies in the bytes of a request, so that it is found in those of the next request that is alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from charonia.tensor import Array

__all__ = ["TensorPlace", "place_of"]


_COPIED_BELOW = 1024


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """The place of a tensor.

    Attributes:
        name, dtype, shape: the tensor's.
        count: the number of its elements.
        start: where its first byte lies.
        size: how many bytes it takes.
    """

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    count: int
    start: int
    size: int

    def array(self, body: bytes | memoryview) -> Array:
        """Give the tensor that lies there, without a copy where its elements lie well."""
        if self.size < _COPIED_BELOW:  # sooner copied than looked at, and aligned then
            return np.ndarray(self.shape, self.dtype, bytes(body[self.start : self.start + self.size]))
        array = np.frombuffer(body, self.dtype, self.count, self.start)
        return (array if array.flags.aligned else array.copy()).reshape(self.shape)


def place_of(name: str, tensor: object, start: int, size: int) -> TensorPlace | None:
    """Tell the place of a tensor that was made of `size` bytes from `start` on; None if it is more than just these bytes."""
    if not isinstance(tensor, np.ndarray) or tensor.dtype.kind in "Ob" or tensor.size == 0 or tensor.nbytes != size:
        return None
    return TensorPlace(name, tensor.dtype, tensor.shape, tensor.size, start, size)

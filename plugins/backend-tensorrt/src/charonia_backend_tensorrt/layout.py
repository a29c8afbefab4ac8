"""The order in which an engine keeps a tensor's elements. Clients give and get the usual one, whatever the engine has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from charonia.errors import UnsupportedError

if TYPE_CHECKING:
    from charonia.tensor import Array

__all__ = ["LINEAR", "Layout", "layout_of"]


@dataclass(frozen=True)
class Layout:
    """An order of elements.

    The channels, an axis of the tensor, are filled up with zeros to whole vectors. Either a vector's lanes lie innermost, and its
    number takes the place of the channel, or all channels lie innermost.

    Attributes:
        axis: the axis of the channels, counted from the end; 0 for the usual order, which has no such axis.
        lanes: how many channels a vector has.
        channels_last: whether all channels lie innermost.
    """

    axis: int
    lanes: int = 1
    channels_last: bool = False

    def packed_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Give the shape of the packed form of a tensor."""
        if not self.axis:
            return shape
        place = len(shape) + self.axis
        vectors = -(-shape[place] // self.lanes)
        if self.channels_last:
            return (*shape[:place], *shape[place + 1 :], vectors * self.lanes)
        return (*shape[:place], vectors, *shape[place + 1 :], self.lanes)

    def pack(self, array: Array) -> Array:
        """Bring an array from the usual order into this one."""
        if not self.axis:
            return array
        place = array.ndim + self.axis
        missing = -array.shape[place] % self.lanes
        filled = np.pad(array, [(0, missing if axis == place else 0) for axis in range(array.ndim)])
        if self.channels_last:
            return np.moveaxis(filled, place, -1)
        vectors = filled.shape[place] // self.lanes
        split = filled.reshape(*filled.shape[:place], vectors, self.lanes, *filled.shape[place + 1 :])
        return np.moveaxis(split, place + 1, -1)

    def unpack(self, packed: Array, shape: tuple[int, ...]) -> Array:
        """Bring an array of the shape `packed_shape(shape)` back into the usual order."""
        if not self.axis:
            return packed
        place = len(shape) + self.axis
        if self.channels_last:
            whole = np.moveaxis(packed, -1, place)
        else:
            split = np.moveaxis(packed, -1, place + 1)
            channels = split.shape[place] * self.lanes
            whole = split.reshape(*split.shape[:place], channels, *split.shape[place + 2 :])
        cut: Array = whole[tuple(slice(size) for size in shape)]
        return cut


LINEAR = Layout(0)

_LAYOUTS = {
    "LINEAR": LINEAR,
    "CHW2": Layout(-3, 2),
    "CHW4": Layout(-3, 4),
    "CHW16": Layout(-3, 16),
    "CHW32": Layout(-3, 32),
    "CDHW32": Layout(-4, 32),
    "HWC": Layout(-3, 1, channels_last=True),
    "HWC8": Layout(-3, 8, channels_last=True),
    "HWC16": Layout(-3, 16, channels_last=True),
    "DHWC": Layout(-4, 1, channels_last=True),
    "DHWC8": Layout(-4, 8, channels_last=True),
}


def layout_of(tensor: str, name: str) -> Layout:
    """Give the layout that TensorRT calls by a name.

    Raises:
        UnsupportedError: it is one of those for other processors than GPUs.
    """
    layout = _LAYOUTS.get(name)
    if layout is None:
        raise UnsupportedError(
            f"tensor '{tensor}' of the engine has the format {name}, which is not for GPUs: build the plan with one of "
            f"{', '.join(_LAYOUTS)}"
        )
    return layout

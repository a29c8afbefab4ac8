"""The parameters by which an input or output names its place in shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from charonia_frontend_http.json_access import take_string, take_unsigned

if TYPE_CHECKING:
    from charonia.shared_memory import RegionSlice, SharedMemory

__all__ = ["REGION", "find_region"]

REGION = "shared_memory_region"
"""The parameter without which the others mean nothing."""

_OFFSET = "shared_memory_offset"
_BYTE_SIZE = "shared_memory_byte_size"


def find_region(parameters: dict[str, Any], shared_memory: SharedMemory) -> RegionSlice:
    """Find the place that the parameters of an input or output name, among which `REGION` is.

    Raises:
        InvalidArgumentError: a parameter is of the wrong type, or the place is not inside the region. As in the reference, no
            size is a size of 0, which no place has.
        NotFoundError: there is no such region.
    """
    region = take_string(parameters, REGION)
    offset = take_unsigned(parameters.get(_OFFSET, 0), f"Unable to parse '{_OFFSET}': ")
    byte_size = take_unsigned(parameters.get(_BYTE_SIZE, 0), f"Unable to parse '{_BYTE_SIZE}': ")
    return shared_memory.slice(region, offset, byte_size)

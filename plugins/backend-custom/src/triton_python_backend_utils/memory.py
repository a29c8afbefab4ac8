"""Where the outputs of a call shall lie."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["TRITONSERVER_MEMORY_CPU", "TRITONSERVER_MEMORY_GPU", "MemoryType", "PreferredMemory"]


class MemoryType(enum.IntEnum):
    """A kind of memory; the numbers are those of the reference's module."""

    TRITONSERVER_MEMORY_GPU = 0
    TRITONSERVER_MEMORY_CPU = 1


TRITONSERVER_MEMORY_GPU: Final = MemoryType.TRITONSERVER_MEMORY_GPU
TRITONSERVER_MEMORY_CPU: Final = MemoryType.TRITONSERVER_MEMORY_CPU


class PreferredMemory:
    """Where the outputs of a call shall lie: `InferenceRequest(…, preferred_memory=PreferredMemory(TRITONSERVER_MEMORY_CPU))`.

    With CPU, outputs on a GPU are brought to the CPU. With GPU, they stay where the other model has left them.

    Args:
        preferred_memory_type: TRITONSERVER_MEMORY_CPU or TRITONSERVER_MEMORY_GPU.
        preferred_device_id: the GPU's number.

    Raises:
        TypeError: the type is something else.
    """

    __slots__ = ("_device_id", "_memory_type")

    def __init__(self, preferred_memory_type: MemoryType, preferred_device_id: int = 0) -> None:
        if not isinstance(preferred_memory_type, MemoryType):
            raise TypeError(
                f"PreferredMemory got {preferred_memory_type!r}: expected TRITONSERVER_MEMORY_CPU or TRITONSERVER_MEMORY_GPU"
            )
        self._memory_type = preferred_memory_type
        self._device_id = preferred_device_id

    @property
    def memory_type(self) -> MemoryType:
        """The kind of memory. Charonia's own, as `device_id`; the reference shows neither."""
        return self._memory_type

    @property
    def device_id(self) -> int:
        """The GPU's number."""
        return self._device_id

    def __repr__(self) -> str:
        return f"PreferredMemory({self._memory_type.name}, {self._device_id})"

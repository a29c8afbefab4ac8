"""DLPack capsules into numpy arrays and back, BF16 included, which numpy itself neither exports nor imports.

A capsule holds a pointer to a C structure that begins so: data pointer (8 bytes), device type and number (4 and 4), rank (4),
then the datatype: its kind (1), its bits (1), its lanes (2).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

if TYPE_CHECKING:
    from charonia.tensor import Array

__all__ = ["CPU_DEVICES", "array_from_capsule", "capsule_device", "capsule_of", "is_capsule"]

CPU_DEVICES = (1, 3)
"""The device types whose memory the CPU reads: its own, and that which CUDA has pinned for it."""

_NAME = b"dltensor"
_DEVICE_AT = 8
_KIND_AT = 20
_BITS_AT = 21
_UNSIGNED = 1
_BFLOAT = 4
_BF16 = np.dtype(ml_dtypes.bfloat16)

_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype = ctypes.c_int
_is_valid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def is_capsule(value: object) -> bool:
    """Tell whether a value is a DLPack capsule that nobody has consumed yet."""
    return type(value).__name__ == "PyCapsule" and bool(_is_valid(value, _NAME))


def capsule_device(capsule: object) -> tuple[int, int]:
    """Give the device of a capsule's memory as (type, number)."""
    kind, number = (ctypes.c_int32 * 2).from_address(_pointer(capsule, _NAME) + _DEVICE_AT)
    return int(kind), int(number)


def capsule_of(array: Array) -> Any:
    """Export an array as a capsule. The memory is shared; that of a read-only array is copied, for a capsule cannot say so.

    Raises:
        BufferError: DLPack has no such datatype; BYTES, for example.
    """
    if not array.flags.writeable:
        array = array.copy()
    if array.dtype != _BF16:
        return array.__dlpack__()
    capsule = array.view(np.uint16).__dlpack__()
    ctypes.c_uint8.from_address(_pointer(capsule, _NAME) + _KIND_AT).value = _BFLOAT
    return capsule


def array_from_capsule(capsule: object) -> Array:
    """Make an array that shares the memory of a capsule on the CPU. The capsule is consumed.

    Raises:
        BufferError, RuntimeError: numpy has no such datatype.
    """
    address = _pointer(capsule, _NAME)
    kind = ctypes.c_uint8.from_address(address + _KIND_AT)
    if (kind.value, ctypes.c_uint8.from_address(address + _BITS_AT).value) == (_BFLOAT, 16):
        kind.value = _UNSIGNED
        return np.from_dlpack(_Exporter(capsule)).view(_BF16)
    return np.from_dlpack(_Exporter(capsule))


class _Exporter:
    """Gives numpy a capsule in the way in which it asks for one."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule
        self._device = capsule_device(capsule)

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device

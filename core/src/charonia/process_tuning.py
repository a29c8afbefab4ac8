"""What a process that does nothing but serve tells its interpreter and its allocator; an application's own is its own matter."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory", "tune_process"]

_SWITCH_SECONDS = 0.001

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_KEPT = 32 << 20
_MOST_KEPT = 2 * _LARGEST_KEPT


def tune_process() -> None:
    """Have threads, and memory, change hands as quickly as requests follow each other."""
    # An instance that comes back from its framework would wait for the busy event loop for 5 ms otherwise, which is longer than
    # most requests take.
    sys.setswitchinterval(_SWITCH_SECONDS)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Have glibc keep what it has free, up to 64 MiB at the end of its heap, for the next tensors.

    By itself it gives the memory of a tensor of, say, 200 kB back to the system with every request, and the next request has
    each page of it faulted in anew, which takes longer than to copy the tensor. These are the limits at which it arrives by
    itself, and then stays, when it has freed a tensor of 32 MiB.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)

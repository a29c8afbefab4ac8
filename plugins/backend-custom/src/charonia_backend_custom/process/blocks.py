"""Memory that two processes share: blocks that one writes and the other one reads.

The writer's pool makes a block, whose file descriptor is sent to the reader once. The reader makes arrays that look into it, and
when nobody holds such an array any more, it tells the writer, who uses the block again. A large block is made for one use, so
that its memory is given back at once. No block has a name, so that nothing is left behind, however a process ends.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.tensor import Array

__all__ = ["Announce", "BlockPool", "BlockViews"]

Announce: TypeAlias = "Callable[[int, int, bool, int], None]"
"""Sends a new block to the reader: its number, its size in bytes, whether it is used again, its descriptor."""

_SMALLEST = 1 << 16
_LARGEST_KEPT = 1 << 24
"""Blocks of more than 16 MiB are used once."""


class BlockPool:
    """The writer's blocks. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._blocks: dict[int, mmap.mmap] = {}
        self._free: dict[int, list[int]] = defaultdict(list)
        self._made = 0

    def write(self, array: Array, announce: Announce) -> int:
        """Write an array's elements, in row-major order, into a block, and give its number. It is taken until `release`.

        A new block is announced where its number will be told: one that the reader has released is known to it everywhere.
        """
        number, block = self._take(array.nbytes, announce)
        target = np.frombuffer(block, array.dtype, array.size).reshape(array.shape)
        np.copyto(target, array)
        return number

    def _take(self, needed: int, announce: Announce) -> tuple[int, mmap.mmap]:
        size = max(_SMALLEST, 1 << (needed - 1).bit_length()) if needed <= _LARGEST_KEPT else needed
        with self._lock:
            if self._free[size]:
                number = self._free[size].pop()
                return number, self._blocks[number]
            self._made += 1
            number = self._made
        descriptor = os.memfd_create("charonia-block", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            block = mmap.mmap(descriptor, size)
            with self._lock:
                self._blocks[number] = block
            announce(number, size, size <= _LARGEST_KEPT, descriptor)
        finally:
            os.close(descriptor)
        return number, block

    def release(self, number: int) -> None:
        """Take a block back that the reader does not look into any more."""
        with self._lock:
            size = len(self._blocks.get(number, b""))
            if not size:
                return  # the pool is closed
            if size > _LARGEST_KEPT:
                del self._blocks[number]
            else:
                self._free[size].append(number)

    def abandon(self) -> None:
        """Leave the blocks to the process of which this one is a fork, and which goes on to write into them."""
        self._lock = threading.Lock()  # somebody may have held the other one, who is not here
        self._blocks = {}
        self._free = defaultdict(list)

    def close(self) -> None:
        """Let go of all blocks. Nobody writes any more."""
        with self._lock:
            self._blocks.clear()
            self._free.clear()


class BlockViews:
    """The reader's arrays that look into blocks. Any thread may use it.

    Args:
        release: told the number of each block that nobody looks into any more. It may be called at any moment, on any thread, as
            the collection of garbage is: it must neither block nor raise.
    """

    def __init__(self, release: Callable[[int], None]) -> None:
        self._release = release
        self._blocks: dict[int, tuple[mmap.mmap, bool]] = {}

    def add(self, number: int, size: int, kept: bool, descriptor: int) -> None:  # noqa: FBT001 - as `announce` says it
        """Get to know a block. The descriptor is closed."""
        try:
            self._blocks[number] = mmap.mmap(descriptor, size), kept
        finally:
            os.close(descriptor)

    def array(self, number: int, dtype: np.dtype, shape: tuple[int, ...]) -> Array:
        """Look into a block. The array may be written to, which changes what only this side reads."""
        block, kept = self._blocks[number]
        if not kept:
            del self._blocks[number]
        bytes_there = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        root = np.frombuffer(block, np.uint8, bytes_there)
        weakref.finalize(root, self._release, number).atexit = False
        return root.view(dtype).reshape(shape)

    def close(self) -> None:
        """Let go of all blocks but those that somebody still looks into."""
        self._blocks.clear()

"""Large bodies: they arrive in the memory in which the model reads them."""

from __future__ import annotations

import asyncio
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Protocol

import numpy as np

__all__ = ["LARGE", "BodyReceiver", "GrowingBody", "LargeBody"]

LARGE = 65_536
"""Bodies of so many bytes are worth their own memory; smaller ones are copied faster than it is prepared."""

_ALIGNMENT = 64
"""What the largest vector registers, and the frameworks that compute in place, ask of a tensor."""

_AT_ONCE = 1 << 21
"""Up to this size, memory for the whole body is asked for at its beginning. It costs nothing before it is written to."""

_FIRST = 1 << 18
"""How much of a larger body must have come first: of much memory the system gives pages of megabytes for a single byte."""


class LargeBody:
    """A body of a known size while it arrives.

    Its end is aligned: what stands there is a tensor, as a rule, whose elements are then aligned, too.

    Args:
        size: its size in bytes.

    Raises:
        MemoryError: there is not enough memory.
    """

    __slots__ = ("_memory", "_received", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._received = 0
        self._memory = _memory(size if size <= _AT_ONCE else _FIRST)

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._received == self._size

    def place(self) -> memoryview:
        """Give the memory, never empty before the body is complete, in which its next bytes belong."""
        return self._memory[self._received :]

    def placed(self, count: int) -> None:
        """Know that so many bytes are in their place.

        Raises:
            MemoryError: there is not enough memory for the rest.
        """
        self._received += count
        if self._received == len(self._memory) < self._size:
            memory = _memory(self._size)
            memory[: self._received] = self._memory
            self._memory = memory

    def add(self, data: bytes | memoryview) -> int:
        """Copy what belongs to it from the beginning of what came. Gives how many bytes that are.

        Raises:
            MemoryError: as `placed`.
        """
        rest = memoryview(data)[: self._size - self._received]
        taken = len(rest)
        while rest:
            place = self.place()
            part = rest[: len(place)]
            place[: len(part)] = part
            self.placed(len(part))
            rest = rest[len(part) :]
        return taken

    def whole(self) -> memoryview:
        """Give the complete body. Nobody here writes to it any more: it is its receiver's own."""
        return self._memory


class GrowingBody:
    """A large body of which nobody knows how much is still to come; its memory costs nothing before it is used.

    It grows without being copied, where the system can map it elsewhere.
    """

    __slots__ = ("_memory", "_received")

    def __init__(self) -> None:
        self._memory = _mapped(_FIRST)
        self._received = 0

    def add(self, piece: bytes | memoryview) -> None:
        """Copy what came to the end.

        Raises:
            MemoryError: there is not enough memory.
        """
        end = self._received + len(piece)
        if end > len(self._memory):
            self._grow(2 * end)
        self._memory[self._received : end] = piece
        self._received = end

    def _grow(self, size: int) -> None:
        try:
            self._memory.resize(size)
        except SystemError:  # no Linux
            smaller, self._memory = self._memory, _mapped(size)
            self._memory[: self._received] = smaller[: self._received]
        except OSError as error:
            raise MemoryError from error

    def whole(self) -> memoryview:
        """Give the complete body. Nobody here writes to it any more: it is its receiver's own."""
        return memoryview(self._memory)[: self._received]


def _mapped(size: int) -> mmap:
    """Ask for memory that can grow; shared memory, which Python asks for by itself, has nothing behind its first size."""
    try:
        return mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError from error


def _memory(size: int) -> memoryview:
    """Ask for memory whose end is aligned."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -(memory.__array_interface__["data"][0] + size) % _ALIGNMENT
    return memory[start : start + size].data


class Owner(Protocol):
    """Whose body arrives: a connection."""

    def place(self) -> memoryview:
        """Say where the next bytes belong."""

    def body_received(self, count: int, /) -> None:
        """Know that they have come."""

    def connection_lost(self, error: Exception | None, /) -> None:
        """Know that nothing more comes."""

    def pause_writing(self) -> None:
        """Write nothing more for a while."""

    def resume_writing(self) -> None:
        """Write again."""


class BodyReceiver(asyncio.BufferedProtocol):
    """Stands in for a connection while a large body arrives: the loop then reads from the socket into the body's own memory.

    Args:
        owner: the connection, which gets to know all.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next bytes belong."""
        return self._owner.place()

    def buffer_updated(self, nbytes: int) -> None:
        """Know that they have come."""
        self._owner.body_received(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._owner.resume_writing()

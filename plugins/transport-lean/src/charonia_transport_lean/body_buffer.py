"""Where the bytes of a body, or of a message, gather."""

from __future__ import annotations

from charonia_transport_lean.large_body import LARGE, GrowingBody, LargeBody

__all__ = ["BodyBuffer"]


class BodyBuffer:
    """A body in the making.

    Args:
        length: how long it will be, in bytes, or None if nobody knows.

    Raises:
        MemoryError: there is not enough memory; also by the other methods.
    """

    __slots__ = ("_filled", "_growing", "_large", "_pieces")

    def __init__(self, length: int | None) -> None:
        self._large = None if length is None or length < LARGE else LargeBody(length)
        self._growing: GrowingBody | None = None
        self._pieces: list[bytes] = []
        self._filled = 0

    def __len__(self) -> int:
        return self._filled

    def add(self, piece: bytes | memoryview) -> None:
        """Copy a piece to the end."""
        self._filled += len(piece)
        if self._large is not None:
            self._large.add(piece)
        elif self._growing is not None:
            self._growing.add(piece)
        elif self._filled > LARGE:
            self._growing = GrowingBody()
            for part in (*self._pieces, piece):
                self._growing.add(part)
            self._pieces.clear()
        else:
            self._pieces.append(bytes(piece))

    def place(self) -> memoryview | None:
        """Give where the next bytes of a large body belong."""
        return None if self._large is None else self._large.place()

    def placed(self, size: int) -> None:
        """Take note that so many bytes are in their place."""
        self._filled += size
        if self._large is not None:
            self._large.placed(size)

    def take(self) -> bytes | memoryview:
        """Give the body, which is whole."""
        if self._large is not None:
            return self._large.whole()
        if self._growing is not None:
            return self._growing.whole()
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

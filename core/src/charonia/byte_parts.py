"""Many bytes in several parts, which are sent from where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ByteParts", "parts_of"]


class ByteParts:
    """A large body, or message, whose parts are not copied together.

    Args:
        parts: the parts in their order; views are of bytes in one piece, and nobody writes to them any more.
    """

    __slots__ = ("_size", "parts")

    def __init__(self, parts: Iterable[bytes | memoryview]) -> None:
        self.parts = tuple(parts)
        self._size = sum(map(len, self.parts))

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


def parts_of(body: bytes | ByteParts) -> tuple[bytes | memoryview, ...]:
    """Give the parts of a body, of which a small one has only itself."""
    return body.parts if isinstance(body, ByteParts) else (body,)

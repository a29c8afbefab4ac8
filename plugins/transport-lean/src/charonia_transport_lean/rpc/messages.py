"""Messages within the body of a call: each with five bytes before it that tell its length, and whether it is compressed."""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

from charonia.errors import InferenceError

from charonia_transport_lean.body_buffer import BodyBuffer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MessageReader", "message_prefix"]

_PREFIX = Struct(">?I")
_PREFIX_BYTES = _PREFIX.size

_Message: TypeAlias = "tuple[bytes | memoryview, bool] | InferenceError"
"""A message's bytes, and whether they are compressed; or why it is refused, and was skipped."""


def message_prefix(size: int, *, compressed: bool = False) -> bytes:
    """Write what stands before a message of so many bytes."""
    return _PREFIX.pack(compressed, size)


class MessageReader:
    """Finds the messages in a call's body, free of any connection.

    Args:
        check_size: refuses a message by its size.

    Attributes:
        messages: what has come, in its order. What is refused is told when its size is known, and the rest when it is whole.
    """

    __slots__ = ("_body", "_check_size", "_compressed", "_missing", "_prefix", "messages")

    def __init__(self, check_size: Callable[[int], None]) -> None:
        self._check_size = check_size
        self._prefix = b""
        self._body: BodyBuffer | None = None
        self._missing = 0  # of the message that has begun
        self._compressed = False
        self.messages: deque[_Message] = deque()

    @property
    def amid(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._missing or self._prefix)

    def feed(self, data: memoryview) -> None:
        """Read a piece of the body. A prefix that is none is a message of the wrong kind, whatever comes after it."""
        at, end = 0, len(data)
        while at < end:
            if not self._missing:
                at = self._begin(data, at)
                continue
            piece = data[at : at + self._missing]
            if self._body is not None:
                self._body.add(piece)
            at += len(piece)
            self._took(len(piece))

    def place(self) -> memoryview | None:
        """Give where the rest of the message belongs, if it is large."""
        return self._body.place() if self._body is not None else None

    def placed(self, size: int) -> None:
        """Take note that so many bytes are in their place."""
        assert self._body is not None  # noqa: S101 - `place` has given one
        self._body.placed(size)
        self._took(size)

    def _begin(self, data: memoryview, at: int) -> int:
        size: int
        if self._prefix or len(data) - at < _PREFIX_BYTES:
            taken = _PREFIX_BYTES - len(self._prefix)
            self._prefix += bytes(data[at : at + taken])
            at += taken
            if len(self._prefix) < _PREFIX_BYTES:
                return at
            self._compressed, size = _PREFIX.unpack(self._prefix)
            self._prefix = b""
        else:
            self._compressed, size = _PREFIX.unpack_from(data, at)
            at += _PREFIX_BYTES
        try:
            self._check_size(size)
        except InferenceError as error:
            self._missing, self._body = size, None
            self.messages.append(error)
            return at
        if len(data) - at >= size:
            self.messages.append((bytes(data[at : at + size]), self._compressed))
            return at + size
        self._missing, self._body = size, BodyBuffer(size)
        return at

    def _took(self, size: int) -> None:
        self._missing -= size
        if not self._missing and self._body is not None:
            self.messages.append((self._body.take(), self._compressed))
            self._body = None

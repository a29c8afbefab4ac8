"""Bodies in chunks (RFC 9112, section 7.1), free of any socket: what is in them is passed on from where it came.

llhttp, which reads everything else of a request, would copy it before it is copied to where it stays. This is stricter: where two
servers could disagree about where a chunk or the body ends, it refuses, and of extensions and trailers it takes what is written
as the RFC has it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ChunkedBody"]

_LONGEST_LINE = 8192
"""The longest line of a chunk's size and extensions, or of a trailer, in bytes."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SIZE = re.compile(rb"0*([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|\"[\t !#-\[\]-~]*\"))?)*\r\n" % (_TOKEN, _TOKEN))
_TRAILER = re.compile(rb"(%b):[\t\x20-\x7e\x80-\xff]*\r\n" % _TOKEN)
_NO_TRAILERS = {b"content-length", b"transfer-encoding"}
_LINE_BREAK = b"\r\n"


class ChunkedBody:
    """Reads a body.

    Args:
        take: is given what is in the chunks, in pieces that it has to copy if it keeps them for long.

    Attributes:
        complete: whether the body has ended.
    """

    __slots__ = ("_left", "_line", "_read_line", "_take", "complete")

    def __init__(self, take: Callable[[memoryview], None]) -> None:
        self._take = take
        self._left = 0  # of the chunk's data
        self._line = b""
        self._read_line: Callable[[bytes], None] = self._read_size
        self.complete = False

    def feed(self, data: bytes, at: int) -> int:
        """Read what came from a place on. Gives where the rest begins, which is the end unless the body is complete.

        Raises:
            ValueError: it is no body in chunks; the text says why.
        """
        end = len(data)
        while at < end and not self.complete:
            if self._left:
                stop = min(end, at + self._left)
                self._left -= stop - at
                self._take(memoryview(data)[at:stop])
                at = stop
            else:
                at = self._feed_line(data, at)
        return at

    def _feed_line(self, data: bytes, at: int) -> int:
        stop = data.find(b"\n", at, at + _LONGEST_LINE) + 1
        self._line += data[at : stop or at + _LONGEST_LINE]
        if len(self._line) > _LONGEST_LINE or (not stop and at + _LONGEST_LINE <= len(data)):
            raise ValueError("a line between chunks is too long")
        if not stop:
            return len(data)
        line, self._line = self._line, b""
        self._read_line(line)
        return stop

    def _read_size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise ValueError(f"{line[:40]!r} is no size of a chunk")
        self._left = int(found[1], 16)
        self._read_line = self._read_break if self._left else self._read_trailer

    def _read_break(self, line: bytes) -> None:
        if line != _LINE_BREAK:
            raise ValueError("a chunk is not as long as its size says")
        self._read_line = self._read_size

    def _read_trailer(self, line: bytes) -> None:
        if line == _LINE_BREAK:
            self.complete = True
            return
        found = _TRAILER.fullmatch(line)
        if found is None or found[1].lower() in _NO_TRAILERS:
            raise ValueError(f"{line[:40]!r} is no field that may follow the chunks")

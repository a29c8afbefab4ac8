"""The compression of messages: gzip and deflate, as gRPC names them."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from charonia.errors import InternalError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from charonia.transport import RpcSettings

__all__ = ["ACCEPTED", "answer_encoding", "compress", "decompress"]

ACCEPTED = "identity,gzip,deflate"
"""What clients may use."""

_WINDOW_BITS = {"gzip": 31, "deflate": 15}
_ALGORITHM = {"low": "gzip", "medium": "deflate", "high": "deflate"}
_STRENGTH = {"low": 1, "medium": 6, "high": 9}
_AT_ONCE, _INFLATED_AT_ONCE = 4096, 512
"""From so many bytes on, it takes longer than an event loop should be kept from others; a compressed one may stand for 1,000."""


def answer_encoding(level: str, accepted: Collection[str]) -> str:
    """Tell how answers are compressed for a client that accepts some algorithms; "" where they are not."""
    algorithm = _ALGORITHM.get(level, "")
    return algorithm if algorithm in accepted else ""


async def decompress(data: bytes | memoryview, encoding: str, settings: RpcSettings) -> bytes:
    """Give the message that was compressed.

    Raises:
        UnsupportedError: nobody knows the algorithm.
        InvalidArgumentError: the message is larger than any may be.
        InternalError: it cannot be decompressed.
    """
    if encoding == "identity":
        raise InternalError("a message is said to be compressed, and the call does not say how")
    if encoding not in _WINDOW_BITS:
        raise UnsupportedError(f"the compression {encoding!r} is not supported (supported: {ACCEPTED})")
    if len(data) < _INFLATED_AT_ONCE:
        return _inflate(data, encoding, settings)
    return await asyncio.to_thread(_inflate, data, encoding, settings)


def _inflate(data: bytes | memoryview, encoding: str, settings: RpcSettings) -> bytes:
    inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        message = inflater.decompress(data, settings.max_message_size)
        if not inflater.eof:  # there is more, or the end is missing
            settings.check_size(len(message) + len(inflater.decompress(inflater.unconsumed_tail, 1)))
    except zlib.error as error:
        raise InternalError(f"a message cannot be decompressed: {error}") from error
    if not inflater.eof:
        raise InternalError("a compressed message is cut off")
    return message


async def compress(message: bytes, encoding: str, level: str) -> bytes:
    """Compress a message."""
    if len(message) < _AT_ONCE:
        return _deflate(message, encoding, level)
    return await asyncio.to_thread(_deflate, message, encoding, level)


def _deflate(message: bytes, encoding: str, level: str) -> bytes:
    deflater = zlib.compressobj(_STRENGTH[level], zlib.DEFLATED, _WINDOW_BITS[encoding])
    return deflater.compress(message) + deflater.flush()

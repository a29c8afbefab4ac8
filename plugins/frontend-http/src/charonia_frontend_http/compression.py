"""Compressed bodies of infer requests and responses: gzip, and deflate in zlib's form."""

from __future__ import annotations

import asyncio
import functools
import re
import zlib
from typing import TYPE_CHECKING

from charonia.byte_parts import ByteParts, parts_of
from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from charonia.http_message import HttpResponse

__all__ = ["CODINGS", "accepted_coding", "compress", "decompress"]

CODINGS = ("gzip", "deflate")
"""The content codings of both directions, by their names in header fields, which are in lower case."""

_FORMAT = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_ANY_FORMAT = zlib.MAX_WBITS | 32
_AT_ONCE = 4096
"""The size in bytes of bodies that the event loop works at by itself; a small one can still inflate a thousand times."""

_WEIGHT = re.compile(r"q=([0-9]*\.?[0-9]*)")


async def decompress(body: bytes | memoryview, limit: int) -> bytes:
    """Undo the coding of a request's body. As in the reference, the body tells by itself which of the two it is.

    Args:
        body: the body as it came.
        limit: the largest size of what comes out, in bytes.

    Raises:
        InvalidArgumentError: the body is empty, corrupt, cut off or followed by something else, or too large.
    """
    if len(body) <= _AT_ONCE:
        return _inflated(body, limit)
    return await asyncio.to_thread(_inflated, body, limit)


def _inflated(body: bytes | memoryview, limit: int) -> bytes:
    if not body:
        raise InvalidArgumentError("nothing to be decompressed")
    stream = zlib.decompressobj(_ANY_FORMAT)
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidArgumentError(f"the compressed request body is corrupt: {error}") from error
    if len(content) > limit:
        raise InvalidArgumentError(
            f"Decompressed data size exceeds the maximum allowed value of {limit} bytes. "
            "Use --http-max-input-size to increase the limit."
        )
    if not stream.eof:
        raise InvalidArgumentError("the compressed request body is corrupt: it is cut off")
    if stream.unused_data:
        raise InvalidArgumentError("the compressed request body is corrupt: something follows its end")
    return content


@functools.lru_cache(maxsize=64)
def accepted_coding(accept: str) -> str:
    """Choose the coding of a response, or "" for none.

    As in the reference, the greatest weight wins, and among equal ones the first; names are in lower case, and everything else
    than gzip, deflate and identity is passed over.

    Args:
        accept: the header field Accept-Encoding.
    """
    best, chosen = 0.0, ""
    for item in accept.split(","):
        name, _, parameter = (part.strip() for part in item.partition(";"))
        if name not in {*CODINGS, "identity"}:
            continue
        weight = _weight(parameter)
        if weight > best:
            best, chosen = weight, name
    return "" if chosen == "identity" else chosen


def _weight(parameter: str) -> float:
    if not parameter:
        return 1.0
    match = _WEIGHT.fullmatch(parameter)
    try:
        return float(match.group(1)) if match else 0.0
    except ValueError:
        return 0.0


async def compress(response: HttpResponse, coding: str) -> HttpResponse:
    """Compress a response, whatever its size, as in the reference."""
    if len(response.body) <= _AT_ONCE:
        response.body = _deflated(response.body, coding)
    else:
        response.body = await asyncio.to_thread(_deflated, response.body, coding)
    response.headers = {**response.headers, "Content-Encoding": coding}
    return response


def _deflated(body: bytes | ByteParts, coding: str) -> bytes:
    stream = zlib.compressobj(wbits=_FORMAT[coding])
    parts = parts_of(body)
    return b"".join([*map(stream.compress, parts), stream.flush()])

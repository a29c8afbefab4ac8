"""From the bytes of an infer request to its message, with the raw data of large requests left where it lies.

protobuf copies each `raw_input_contents` twice: into the message, and out of it. In a large request they are found here, and
given as views of what came from the network; protobuf reads the rest.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError
from charonia_protos import grpc_service_pb2 as pb
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["parse_infer"]

LARGE = 32_768
"""From this size on, in bytes, looking for the raw data by hand costs less than copying it."""

_RAW_TAG = 7 << 3 | 2  # raw_input_contents, with a length
_VARINT, _EIGHT_BYTES, _LENGTH_DELIMITED, _FOUR_BYTES = 0, 1, 2, 5
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_MAX_VARINT = 10


def parse_infer(body: bytes | memoryview) -> tuple[pb.ModelInferRequest, Collection[bytes | memoryview]]:
    """Give the message, and the entries of its `raw_input_contents`, which the message itself may lack.

    Raises:
        InvalidArgumentError: the bytes are no such message.
    """
    raw: Collection[bytes | memoryview] | None = None
    if len(body) >= LARGE:
        with contextlib.suppress(IndexError, ValueError):  # protobuf has the word on what is wrong
            body, raw = _split(body)
    try:
        message = pb.ModelInferRequest.FromString(bytes(body))
    except DecodeError as error:
        raise InvalidArgumentError("Unable to parse request") from error
    return message, message.raw_input_contents if raw is None else raw


def _split(body: bytes | memoryview) -> tuple[bytes, list[memoryview]]:
    """Take the raw data out of a serialised message.

    Raises:
        IndexError, ValueError: it is no serialised message.
    """
    view = memoryview(body)
    rest: list[memoryview] = []
    raw: list[memoryview] = []
    at = 0
    while at < len(body):
        start = at
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == _VARINT:
            _, stop = _varint(body, at)
        elif kind == _LENGTH_DELIMITED:
            size, at = _varint(body, at)
            stop = at + size
        else:
            stop = at + _FIXED.get(kind, len(body))  # groups are of another age
        if stop > len(body):
            raise ValueError("a field is cut off")
        if tag == _RAW_TAG:
            raw.append(view[at:stop])
        else:
            rest.append(view[start:stop])
        at = stop
    return b"".join(rest), raw


def _varint(body: bytes | memoryview, at: int) -> tuple[int, int]:
    """Read a number, and give it with the place after it."""
    value = 0
    for place in range(_MAX_VARINT):
        byte = body[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
            return value, at + place + 1
    raise ValueError("a number does not end")

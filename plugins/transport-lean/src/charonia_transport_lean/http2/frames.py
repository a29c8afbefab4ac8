"""The frames of HTTP/2: their numbers, and writing those that are the same for every use (RFC 9113, sections 4, 6 and 7)."""

from __future__ import annotations

import enum
from struct import Struct

__all__ = [
    "ACK",
    "END_HEADERS",
    "END_STREAM",
    "HEAD",
    "HEAD_BYTES",
    "LARGEST_WINDOW",
    "MAX_STREAM",
    "PADDED",
    "PREFACE",
    "PRIORITY",
    "ConnectionFault",
    "ErrorCode",
    "FrameType",
    "Setting",
    "StreamFault",
    "frame_head",
    "go_away",
    "ping",
    "reset",
    "settings",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first; the beginning of no request of HTTP/1.1."""

HEAD = Struct(">IBI")
"""The head of a frame, read in one piece: length and type together, flags, and the stream with its reserved bit."""

HEAD_BYTES = HEAD.size
MAX_STREAM = LARGEST_WINDOW = 0x7FFFFFFF
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
"""Flags."""


class FrameType(enum.IntEnum):
    """The types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(enum.IntEnum):
    """The settings that mean something here."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(enum.IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):  # noqa: N818 - the RFC's words: a connection error is not an error of ours
    """The client broke a rule on which the whole connection stands, which ends.

    Attributes:
        code: the code for the client.
    """

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):  # noqa: N818 - as above
    """The client broke a rule, and only one stream of it ends.

    Attributes:
        stream: the stream's number.
        code: the code for the client.
    """

    def __init__(self, stream: int, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.stream = stream
        self.code = code


def frame_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """Write what stands before a frame's payload of so many bytes."""
    return HEAD.pack(length << 8 | kind, flags, stream)


def settings(values: dict[Setting, int]) -> bytes:
    """Write a frame with settings of ours."""
    payload = b"".join(number.to_bytes(2, "big") + value.to_bytes(4, "big") for number, value in values.items())
    return frame_head(len(payload), FrameType.SETTINGS, 0, 0) + payload


def ping(payload: bytes, *, ack: bool) -> bytes:
    """Write a ping of eight bytes, or the answer to one."""
    return frame_head(8, FrameType.PING, ACK if ack else 0, 0) + payload


def reset(stream: int, code: ErrorCode) -> bytes:
    """Write the end of a stream."""
    return frame_head(4, FrameType.RST_STREAM, 0, stream) + code.to_bytes(4, "big")


def window_update(stream: int, size: int) -> bytes:
    """Write that the client may send so many bytes more; stream 0 is the connection."""
    return frame_head(4, FrameType.WINDOW_UPDATE, 0, stream) + size.to_bytes(4, "big")


def go_away(last: int, code: ErrorCode, text: str = "") -> bytes:
    """Write that streams after the last one are not looked at, and why the connection ends."""
    payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + text.encode()
    return frame_head(len(payload), FrameType.GOAWAY, 0, 0) + payload

"""From the bytes of a connection to frames, free of any socket (RFC 9113, section 4).

The payload of a large DATA frame does not pass through the reader's own buffer: the socket's bytes go where the stream wants
them. Where frames alike are foreseen, the payloads of several do at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from charonia_transport_lean.http2.frame_run import WORTH_A_RUN, FrameRun
from charonia_transport_lean.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEAD_BYTES,
    MAX_STREAM,
    PADDED,
    PREFACE,
    PRIORITY,
    ConnectionFault,
    ErrorCode,
    FrameType,
)

__all__ = ["MAX_FRAME", "DataReceiver", "FrameReader", "FrameReceiver"]

MAX_FRAME = 4_194_304
"""The largest payload that a client may send in a frame, in bytes, so that a tensor may come in one. Only DATA is so large."""

_BUFFER, _RUN_BUFFER = 131_072, 1_114_112
"""How much there may be that has yet to be looked at, and how much once frames have been foreseen, in bytes."""

_LARGEST_BLOCK = 65_536
"""The bytes of a header block, its frames' heads included."""

_DIRECT, _AHEAD = 32_768, 16_384
"""From so many missing bytes on, a DATA frame's payload is read straight to where it belongs. After one that was, only so many
bytes are read ahead: what comes of the next payload together with its head is copied."""

_IN_A_TURN, _BYTES_OF_A_FRAME = 256, 16
"""How many frames are read before other connections have their turn. So many bytes of a header block, each of which may stand for
a field, are worth one."""

_DATA, _HEADERS, _CONTINUATION = int(FrameType.DATA), int(FrameType.HEADERS), int(FrameType.CONTINUATION)

_GREETING_BYTES = len(PREFACE) + HEAD_BYTES
"""The preface, and the head of the settings that a client has to send with it."""


class DataReceiver(ABC):
    """What is told of the data that came. Each method may raise ConnectionFault."""

    __slots__ = ()

    @abstractmethod
    def data(self, stream: int, payload: memoryview, size: int, *, end: bool) -> None:
        """Take a piece of a DATA frame.

        Args:
            stream: the stream's number.
            payload: the piece, which holds only until this returns. May be empty.
            size: what it counts for in flow control.
            end: whether the stream ends with it.
        """

    @abstractmethod
    def place(self, stream: int) -> memoryview | None:
        """Give where the next bytes of a stream belong, if that is known."""

    @abstractmethod
    def placed(self, stream: int, size: int, *, end: bool) -> None:
        """Take note that so many bytes have been put where `place` said."""


class FrameReceiver(ABC):
    """What is told of the other frames that came. Each method may raise ConnectionFault."""

    @abstractmethod
    def headers(self, stream: int, block: bytes, *, end: bool) -> None:
        """Take a whole header block. `end` tells whether the stream ends with it."""

    @abstractmethod
    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take any other frame. One of an extension comes without its payload."""


class FrameReader:
    """Reads what a client sends, from its preface on.

    Args:
        data: is told of the data in frames.
        receiver: is told of the other frames.
        worth_a_run: from payloads of how many bytes on frames alike are foreseen.

    Attributes:
        missing: how many bytes are missing of a DATA frame, or of one that is dropped.
        more: whether some of what came is to be read in another turn, by another call of `received`.
    """

    __slots__ = (
        "_ahead",
        "_data",
        "_direct",
        "_filled",
        "_fragments",
        "_fragments_bytes",
        "_fragments_end",
        "_fragments_of",
        "_open_end",
        "_open_length",
        "_open_padding",
        "_open_stream",
        "_preface",
        "_receiver",
        "_run",
        "_view",
        "_worth_a_run",
        "missing",
        "more",
    )

    def __init__(self, data: DataReceiver, receiver: FrameReceiver, worth_a_run: int = WORTH_A_RUN) -> None:
        self._data = data
        self._receiver = receiver
        self._view = np.empty(_BUFFER, np.uint8).data  # of which a connection that says little takes little
        self._filled = 0
        self._ahead = _BUFFER
        self._preface = True
        self.more = False
        self._direct = False
        self._worth_a_run = worth_a_run
        self._run: FrameRun | None = None
        self._open_stream = 0  # the DATA frame of which a part is missing, or the frame that is dropped
        self._open_length = 0
        self.missing = 0
        self._open_padding = 0
        self._open_end = False
        self._fragments: list[bytes] = []
        self._fragments_of = 0
        self._fragments_bytes = 0
        self._fragments_end = False

    @property
    def amid(self) -> bool:
        """Whether a frame, or a header block, has begun and not ended."""
        return bool(self._filled or self.missing or self._fragments_of or self._preface)

    def room(self) -> memoryview:
        """Give the place for the next bytes; at least one fits. Whoever asks again has put nothing into the place before."""
        self._direct = False
        payload = self.missing - self._open_padding
        if payload >= _DIRECT and self._open_stream and not self._filled:
            place = self._data.place(self._open_stream)
            if place is not None and len(place):
                self._direct = True
                return place[:payload]
        return self._view[self._filled : self._filled + self._ahead]

    def received(self, size: int) -> None:
        """Read so many bytes, which are now where `room` said.

        Raises:
            ConnectionFault: they break a rule of the connection.
        """
        if self._direct:
            self._direct = False
            self._ahead = _AHEAD
            self.missing -= size
            self._data.placed(self._open_stream, size, end=self._open_end and not self.missing)
            return
        end = self._filled + size
        at = 0
        if self._preface:
            at = self._read_preface(end)
            if not at:
                self._filled = end
                return
        self._read(at, end)
        if size == self._ahead and not self.missing:
            self._ahead = _BUFFER

    def run(self) -> list[memoryview]:
        """Give the places for all that is foreseen, one after the other; none where `room` is to be asked for the next bytes."""
        if not self.missing or not self._open_stream or self._open_padding or self._open_end:
            return []
        place = self._data.place(self._open_stream)
        if place is None:
            return []
        if self._run is None:
            self._view = np.empty(_RUN_BUFFER, np.uint8).data  # nothing is in it while a frame is open
            self._run = FrameRun(self._view, _AHEAD, self._worth_a_run)
        return self._run.foresee(self._open_stream, place, self.missing, self._open_length)

    def ran(self, size: int) -> bool:
        """Read so many bytes, at least one, which are now where `run` said. Tells whether there may be more.

        Raises:
            ConnectionFault: they break a rule of the connection.
        """
        assert self._run is not None  # noqa: S101 - `run` has made it
        placed, self.missing, rest, wrong, full = self._run.read(size)
        self._ahead = _BUFFER if wrong else _AHEAD
        self._data.placed(self._open_stream, placed, end=False)
        self._read(0, rest)
        return full

    def _read(self, at: int, end: int) -> None:
        """Read what has come of frames, and keep the beginning of one that has to be whole."""
        at = self._read_frames(at, end)
        left = end - at
        if left and at:
            self._view[:left] = self._view[at:end]
        self._filled = left

    def _read_frames(self, at: int, end: int) -> int:
        """Read what has come of frames, and give where that ends."""
        view, data = self._view, self._data
        self.more = False
        turn = _IN_A_TURN
        while True:
            if self.missing:
                at = self._go_on(at, end)
            start = at + HEAD_BYTES
            if start > end:
                break
            if turn <= 0:
                self.more = True
                break
            turn -= 1
            word, flags, stream = HEAD.unpack_from(view, at)
            stop = start + (word >> 8)
            if word & 0xFF == _DATA and stop <= end and not flags & PADDED and not self._fragments_of and stream:
                data.data(stream & MAX_STREAM, view[start:stop], stop - start, end=bool(flags & END_STREAM))
                at = stop
                continue
            taken = self._take(word & 0xFF, flags, stream & MAX_STREAM, start, stop, end)
            if not taken:
                break
            turn -= (stop - start) // _BYTES_OF_A_FRAME
            at = taken
        return at

    def _take(self, kind: int, flags: int, stream: int, start: int, stop: int, end: int) -> int:
        """Take a frame, or the beginning of a DATA frame. Gives where to go on, or 0 where too little has come."""
        length = stop - start
        if length > MAX_FRAME:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame is too large")
        if self._fragments_of and (kind != _CONTINUATION or stream != self._fragments_of):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        if kind == _DATA:
            return self._begin_data(start, end, length, flags, stream)
        if kind > _CONTINUATION:  # of an extension, to be ignored
            self._open_stream, self.missing, self._open_padding, self._open_end = 0, length, 0, False
            self._receiver.frame(kind, flags, stream, b"")
            return start
        if length > _LARGEST_BLOCK:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a frame is larger than any needs to be")
        if stop > end:
            return 0
        payload = bytes(self._view[start:stop])
        if kind == _HEADERS:
            self._begin_block(stream, flags, payload)
        elif kind == _CONTINUATION:
            self._go_on_block(flags, payload)
        else:
            self._receiver.frame(kind, flags, stream, payload)
        return stop

    def _read_preface(self, end: int) -> int:
        """Read the preface, when the head of the frame after it has come, too. Gives where that begins, or 0."""
        start = bytes(self._view[: min(end, len(PREFACE))])
        if not PREFACE.startswith(start):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is not HTTP/2")
        if end < _GREETING_BYTES:
            return 0
        word, flags, _ = HEAD.unpack_from(self._view, len(PREFACE))
        if word & 0xFF != FrameType.SETTINGS or flags & ACK:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not the settings")
        self._preface = False
        return len(PREFACE)

    # -- DATA frames of which not everything is there, or that are padded

    def _begin_data(self, start: int, end: int, length: int, flags: int, stream: int) -> int:
        """Begin a DATA frame. Gives where its data begins, or 0 if that is not known yet."""
        if not stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "data on the connection itself")
        padding = overhead = 0
        if flags & PADDED:
            if start >= end:
                return 0
            padding, overhead = self._view[start], 1
            if padding >= length:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than frame")
        last = bool(flags & END_STREAM)
        self._open_stream, self.missing, self._open_padding = stream, length - overhead, padding
        self._open_length, self._open_end = length, last
        if overhead:
            done = not self.missing
            self._data.data(stream, self._view[:0], overhead, end=last and done)
        return start + overhead

    def _go_on(self, at: int, end: int) -> int:
        """Pass on what has come of the frame that is open; gives where the next bytes are."""
        piece = min(self.missing, end - at)
        if not piece:
            return at
        self.missing -= piece
        if self._open_stream:
            real = piece - max(0, self._open_padding - self.missing)
            self._open_padding = min(self._open_padding, self.missing)
            last = self._open_end and not self.missing
            self._data.data(self._open_stream, self._view[at : at + max(real, 0)], piece, end=last)
        return at + piece

    # -- header blocks

    def _begin_block(self, stream: int, flags: int, payload: bytes) -> None:
        start, stop = 0, len(payload)
        if flags & PADDED:
            if not payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without padding")
            start, stop = 1, stop - payload[0]
        if flags & PRIORITY:  # which has no meaning any more
            start += 5
        if start > stop:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than frame")
        block = payload[start:stop] if flags & (PADDED | PRIORITY) else payload
        end = bool(flags & END_STREAM)
        if flags & END_HEADERS:
            self._receiver.headers(stream, block, end=end)
            return
        self._fragments_of, self._fragments_end = stream, end
        self._fragments, self._fragments_bytes = [block], len(block) + HEAD_BYTES
        if not stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "headers on the connection itself")

    def _go_on_block(self, flags: int, payload: bytes) -> None:
        if not self._fragments_of:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the continuation of nothing")
        self._fragments.append(payload)
        self._fragments_bytes += len(payload) + HEAD_BYTES
        if self._fragments_bytes > _LARGEST_BLOCK:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too large")
        if flags & END_HEADERS:
            stream, block = self._fragments_of, b"".join(self._fragments)
            self._fragments_of, self._fragments = 0, []
            self._receiver.headers(stream, block, end=self._fragments_end)

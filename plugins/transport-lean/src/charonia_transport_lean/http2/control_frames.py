"""The frames that are no part of a request: windows, resets, pings, settings, farewells (RFC 9113, section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.farewell import FAREWELL_PING
from charonia_transport_lean.http2.frames import (
    ACK,
    LARGEST_WINDOW,
    ConnectionFault,
    ErrorCode,
    FrameType,
    Setting,
    StreamFault,
)

if TYPE_CHECKING:
    from charonia_transport_lean.http2.farewell import Farewell
    from charonia_transport_lean.http2.keeping import Keeping
    from charonia_transport_lean.http2.stream import Line

__all__ = ["ControlFrames"]

_LEAST_FRAME, _MOST_FRAME = 16_384, 16_777_215

_MOST_SETTINGS = 32
"""How many settings a frame may have: each may mean work for every stream."""


class ControlFrames:
    """Does what a client's frames ask for.

    Args:
        connection: the connection that they are about.
        keeping: the care that it gets.
        farewell: its end.
    """

    __slots__ = ("_connection", "_farewell", "_keeping")

    def __init__(self, connection: Line, keeping: Keeping, farewell: Farewell) -> None:
        self._connection = connection
        self._keeping = keeping
        self._farewell = farewell

    def take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take a frame.

        Raises:
            ConnectionFault: it breaks a rule of the connection.
        """
        if kind == FrameType.WINDOW_UPDATE:
            self._take_window(stream, payload)
        elif kind == FrameType.RST_STREAM:
            self._take_reset(stream, payload)
        elif kind == FrameType.PING:
            self._take_ping(flags, stream, payload)
        elif kind == FrameType.SETTINGS:
            self._take_settings(flags, stream, payload)
        elif kind == FrameType.GOAWAY:
            if stream or len(payload) < 8:  # noqa: PLR2004 - the last stream and a code
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a wrong farewell")
            self._connection.part()  # it begins no more
        elif kind == FrameType.PRIORITY:  # it has no meaning any more
            self._take_priority(stream, payload)
        elif kind == FrameType.PUSH_PROMISE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients do not push")
        else:
            self._connection.spend_upkeep("frames of extensions")

    def _take_window(self, number: int, payload: bytes) -> None:
        self._connection.spend_upkeep("window updates")
        if len(payload) != 4:  # noqa: PLR2004 - a number
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a wrong window update")
        size = int.from_bytes(payload, "big") & LARGEST_WINDOW
        if not number:
            if not size:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window opened by nothing")
            self._connection.outflow.widen(size)
            return
        self._check_opened(number)
        stream = self._connection.streams.get(number)
        if stream is None:
            return
        if not size:
            self._connection.reset_stream(number, ErrorCode.PROTOCOL_ERROR)
            return
        try:
            self._connection.outflow.widen_stream(stream, size)
        except StreamFault as fault:
            self._connection.reset_stream(number, fault.code)

    def _take_reset(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:  # noqa: PLR2004 - a code
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a wrong reset")
        self._check_opened(number)
        self._connection.taken_back(number)

    def _take_ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) != 8:  # noqa: PLR2004 - as the RFC has it
            raise ConnectionFault(
                ErrorCode.FRAME_SIZE_ERROR if not stream else ErrorCode.PROTOCOL_ERROR, "a wrong ping"
            )
        if flags & ACK:
            (self._farewell.known if payload == FAREWELL_PING else self._keeping.answered)()
            return
        self._connection.spend_upkeep("pings")
        if not self._keeping.allows_ping():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")  # gRPC's clients know these words
        self._connection.put(frames.ping(payload, ack=True))

    def _take_priority(self, stream: int, payload: bytes) -> None:
        self._connection.spend_upkeep("priorities")
        if not stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a priority of the connection")
        if len(payload) != 5:  # noqa: PLR2004 - as the RFC has it
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a wrong priority")

    def _take_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "settings of a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        self._connection.spend_upkeep("settings")
        if len(payload) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "wrong settings")
        if len(payload) > 6 * _MOST_SETTINGS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many settings in a frame")
        wanted = {payload[at : at + 2]: payload[at + 2 : at + 6] for at in range(0, len(payload), 6)}
        for number, value in wanted.items():  # of each the last one counts
            self._take_setting(int.from_bytes(number, "big"), int.from_bytes(value, "big"))
        self._connection.put(frames.frame_head(0, FrameType.SETTINGS, ACK, 0))
        self._connection.outflow.flush()

    def _take_setting(self, number: int, value: int) -> None:
        outflow = self._connection.outflow
        if number == Setting.INITIAL_WINDOW_SIZE:
            if value > LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window larger than any can be")
            outflow.resize_windows(value, self._connection.streams.values())
        elif number == Setting.MAX_FRAME_SIZE:
            if not _LEAST_FRAME <= value <= _MOST_FRAME:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frames of a size that cannot be")
            outflow.limit_frame(value)
        elif number == Setting.HEADER_TABLE_SIZE:
            outflow.limit_table(value)
        elif number == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "neither push nor no push")

    def _check_opened(self, number: int) -> None:
        if not number or number > self._connection.last or not number & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame for a stream that nobody opened")

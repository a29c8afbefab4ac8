"""The data that comes, and how much more of it a client may send (RFC 9113, sections 5.2 and 6.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.frame_reader import DataReceiver
from charonia_transport_lean.http2.frames import ConnectionFault, ErrorCode, StreamFault
from charonia_transport_lean.pace import credited

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia_transport_lean.http2.stream import Line, Stream

__all__ = ["STREAM_WINDOW", "WINDOW", "Inflow", "check_length"]

STREAM_WINDOW = 4_194_304
WINDOW = 67_108_864
"""How much a client may send before it is taken, on a stream and in all, in bytes."""


T = TypeVar("T")


class Inflow(DataReceiver):
    """Gives the data of a connection's streams to those that take it.

    Args:
        connection: the connection.
    """

    __slots__ = ("_connection", "_credit", "_taken")

    def __init__(self, connection: Line) -> None:
        self._connection = connection
        self._credit = WINDOW
        self._taken = 0  # of what has come, and not yet said to the client

    def data(self, stream: int, payload: memoryview, size: int, *, end: bool) -> None:
        """Take a piece of a request's body."""
        taker = self._connection.streams.get(stream)
        self._spend_credit(size)
        if taker is None or taker.half_closed:
            self._free(size)
            self._refuse_data(stream, taker)
            return
        if not size and not end:
            self._connection.spend_upkeep("frames without data")
        self._give(taker, len(payload), size, taker.exchange.data, payload, end=end)

    def place(self, stream: int) -> memoryview | None:
        """Give where the next bytes of a stream belong, if that is known."""
        taker = self._connection.streams.get(stream)
        return taker.exchange.place() if taker is not None and not taker.half_closed else None

    def placed(self, stream: int, size: int, *, end: bool) -> None:
        """Take note of bytes that are in their place."""
        taker = self._connection.streams[stream]
        self._spend_credit(size)
        self._give(taker, size, size, taker.exchange.placed, size, end=end)

    def consumed(self, stream: Stream) -> None:
        """Let a stream's client send on, after what it has sent was taken."""
        self.forget(stream)
        missing = STREAM_WINDOW - stream.credit
        if missing > STREAM_WINDOW // 2 and not stream.half_closed and not stream.ended:
            stream.credit = STREAM_WINDOW
            self._connection.put(frames.window_update(stream.number, missing))

    def forget(self, stream: Stream) -> None:
        """Let the connection's client send on: what came on this stream is taken, or dropped."""
        unread, stream.unread = stream.unread, 0
        if unread:
            self._free(unread)

    def _give(self, taker: Stream, length: int, size: int, take: Callable[[T], None], what: T, *, end: bool) -> None:
        """Have an exchange take so many bytes of its body, which count for `size`."""
        taker.credit -= size
        taker.unread += size
        if taker.credit < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window")
        try:
            if taker.head.length is not None:
                check_length(taker, length, end=end)
            patient = not end and taker.exchange.patient
            if length:
                take(what)
            if end:
                self._connection.finish(taker)
                return
            now = self._connection.loop.time()
            taker.touched = now if patient else credited(taker.touched, size, now)
            if taker.number in self._connection.streams and not taker.exchange.patient:
                self.consumed(taker)
        except StreamFault as fault:
            self._connection.reset_stream(fault.stream, fault.code)
        except MemoryError:
            self._connection.reset_stream(taker.number, ErrorCode.INTERNAL_ERROR)

    def _spend_credit(self, size: int) -> None:
        self._credit -= size
        if self._credit < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window")

    def _free(self, size: int) -> None:
        self._taken += size
        if self._taken > WINDOW // 2:
            taken, self._taken = self._taken, 0
            self._credit += taken
            self._connection.put(frames.window_update(0, taken))

    def _refuse_data(self, number: int, stream: Stream | None) -> None:
        if number > self._connection.last or not number & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "data on a stream that nobody opened")
        if stream is not None:  # it has said itself that nothing more comes
            self._connection.reset_stream(number, ErrorCode.STREAM_CLOSED)
        else:  # it may have been under way when the stream was reset; who goes on is told so by the budget
            self._connection.spend_upkeep("data on streams that have ended")


def check_length(stream: Stream, size: int, *, end: bool) -> None:
    """Count so many more bytes of a body, if its length was said.

    Raises:
        StreamFault: it is longer or, at its end, shorter than it was said to be.
    """
    length = stream.head.length
    stream.received += size
    if length is not None and (stream.received > length or (end and stream.received != length)):
        raise StreamFault(stream.number, ErrorCode.PROTOCOL_ERROR, "the body is not as long as it was said to be")

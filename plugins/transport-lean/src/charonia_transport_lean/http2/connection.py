"""One HTTP/2 connection of a client: its streams, its rules, and its end (RFC 9113)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from charonia_transport_lean.guest import Guest
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.allowance import Allowance
from charonia_transport_lean.http2.control_frames import ControlFrames
from charonia_transport_lean.http2.farewell import Farewell
from charonia_transport_lean.http2.frame_reader import FrameReader, FrameReceiver
from charonia_transport_lean.http2.frames import ConnectionFault, ErrorCode, StreamFault
from charonia_transport_lean.http2.greeting import GREETING, MOST_STREAMS
from charonia_transport_lean.http2.header_blocks import HeaderDecoder
from charonia_transport_lean.http2.inflow import STREAM_WINDOW, Inflow, check_length
from charonia_transport_lean.http2.keeping import Keeping
from charonia_transport_lean.http2.outflow import TURN, Outflow
from charonia_transport_lean.http2.patience import Patience
from charonia_transport_lean.http2.request_head import MalformedError, RequestHead, read_head
from charonia_transport_lean.http2.straight import Straight, straight
from charonia_transport_lean.http2.stream import OVER, Line, Stream
from charonia_transport_lean.pace import credited

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.transport import KeepAlive

    from charonia_transport_lean.guest import Host
    from charonia_transport_lean.http2.header_blocks import Headers
    from charonia_transport_lean.http2.outgoing_stream import OutgoingStream
    from charonia_transport_lean.http2.stream import Opener

__all__ = ["Http2Connection"]

_log = logging.getLogger("charonia.transport_lean.http2.connection")

_JOINED_BELOW = 65_536
_MOST_UNSENT = 67_108_864
"""While more than this waits for a client that does not read, it gets no new streams."""

_MOST_UNREAD_REPLIES = 1_048_576
"""How much a client that does not read may make the socket hold beside a turn's data, in bytes: replies to its frames."""

_LINGER_SECONDS = 1.0
"""How long a client may take to close its side."""

_DROPPED_AT_ONCE = 65_536


class Http2Connection(asyncio.BufferedProtocol, FrameReceiver, Guest, Line):
    """A client's connection, from its preface on.

    Args:
        hub: the door, which knows all connections.
        route: tells, for a request's head, what begins its exchange.
        keep_alive: the care that its connection gets.
    """

    def __init__(self, hub: Host, route: Callable[[RequestHead], Opener], keep_alive: KeepAlive) -> None:
        self._hub = hub
        self.loop = hub.loop
        self._inflow = Inflow(self)
        self._reader = FrameReader(self._inflow, self)
        self._decoder: HeaderDecoder[tuple[RequestHead, Opener] | MalformedError] = HeaderDecoder(self._read_head)
        self._route = route
        self.streams: dict[int, Stream] = {}
        self.last = 0
        self._farewell = Farewell(self)
        self._closed = False
        self._lingering: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._socket: Straight | None = None
        self._unsent: list[bytes] = []
        self._size = 0
        self.outflow = Outflow(self.put, self._put_large, self._answered, self._progressed)
        self._allowance = Allowance(self.loop.time)
        self._keeping = Keeping(self, keep_alive)
        self._control = ControlFrames(self, self._keeping, self._farewell)
        self._patience = Patience()
        self._unread = 0
        self.touched = self.loop.time()

    # -- what the hub asks

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return not self.streams

    @property
    def stalled(self) -> bool:
        """Whether it waits for its client: for the rest of a frame, for the reading of what was written, or for its farewell."""
        return self._closed or self._reader.amid or self.outflow.paused

    def send(self) -> None:
        """Send what was written in this turn of the loop."""
        unsent, self._unsent, self._size = self._unsent, [], 0
        if not unsent or self._closed or self._transport.is_closing():
            return
        self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))
        if self.outflow.paused and self._transport.get_write_buffer_size() > TURN + _MOST_UNREAD_REPLIES:
            self.abort()

    def look(self) -> None:
        """See how the client gets on: streams with which it does not are reset."""
        now = self.loop.time()
        if self.outflow.paused:
            unread = self._transport.get_write_buffer_size()
            self.touched = credited(self.touched, self._unread - unread, now)
            self._unread = unread
        for stream in self._patience.lost(self.streams.values(), now):
            self._cut(stream.number, ErrorCode.CANCEL)

    def leave(self) -> None:
        """Take no new requests, end streams of messages, and close when those that came are answered."""
        for stream in list(self.streams.values()):
            stream.exchange.leave()
        self.retire()

    def retire(self) -> None:
        """Have the client begin no more requests, and close when those that came have ended."""
        self._farewell.announce()

    def part(self) -> None:
        """Tell the client which requests count, and close when they have ended."""
        if self._farewell.last is None:
            self._farewell.say(ErrorCode.NO_ERROR)
        if not self.streams:
            self.close()

    def close(self) -> None:
        """Close when what was written has been sent, and the client has closed, too, or has had some time to do so."""
        if not self._closed:
            if self._farewell.last is None:
                self._farewell.say(ErrorCode.NO_ERROR)
            self.send()
            self._closed = True
            self._take_back()
            if self._transport.can_write_eof():
                # What the client sends meanwhile is taken and dropped: the system would tell it of nothing else than that nobody
                # takes it, and our farewell would be lost.
                with contextlib.suppress(OSError):  # the client has gone, of which the loop will tell
                    self._transport.write_eof()
                self._lingering = self.loop.call_later(_LINGER_SECONDS, self._transport.close)
            else:
                self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._closed = True
        self._transport.abort()

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with our settings."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport
        self._socket = straight(transport)
        self._hub.opened(self)
        self.put(GREETING)
        self._keeping.start()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what is in progress is taken back."""
        self._closed = True
        self._keeping.stop()
        self._farewell.stop()
        if self._lingering is not None:
            self._lingering.cancel()
        self._take_back()
        self._hub.lost(self)

    def _take_back(self) -> None:
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            self.outflow.drop(stream)
            stream.exchange.abandon()

    def eof_received(self) -> bool:
        """Close: a client that sends nothing more cannot even open windows."""
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the place for the next bytes."""
        return memoryview(bytearray(_DROPPED_AT_ONCE)) if self._closed else self._reader.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Read the bytes that came."""
        if self._closed:
            return
        self._keeping.heard = now = self.loop.time()
        began = self._reader.amid
        try:
            self._reader.received(nbytes)
            if self._reader.missing and self._socket is not None:
                self._socket.read_runs(self._reader)
        except ConnectionFault as fault:
            self._end(fault)
            return
        if self._reader.more and not self._closed:  # others have their turn first
            self._transport.pause_reading()
            self.loop.call_soon(self._read_on)
        elif not self.outflow.paused:
            self.touched = credited(self.touched, nbytes, now) if began and self._reader.amid else now

    def _read_on(self) -> None:
        if not self._closed:
            self._transport.resume_reading()
            self.buffer_updated(0)

    def feed(self, data: bytes) -> None:
        """Read bytes that came before this connection was there."""
        while data and not self._closed:
            room = self.get_buffer(-1)
            piece = data[: len(room)]
            room[: len(piece)] = piece
            self.buffer_updated(len(piece))
            data = data[len(piece) :]

    def pause_writing(self) -> None:
        """Write nothing more: the client does not read."""
        self.touched = self.loop.time()
        self._unread = self._transport.get_write_buffer_size()
        self.outflow.pause()

    def resume_writing(self) -> None:
        """Write again."""
        self.touched = self.loop.time()
        self.outflow.resume()

    # -- frames with requests

    def headers(self, stream: int, block: bytes, *, end: bool) -> None:
        """Begin a request, or take its trailers."""
        opening = self._decoder.decode(block)  # even where it is not wanted: the table is that of all blocks
        try:
            if stream in self.streams:
                self._take_trailers(self.streams[stream], opening, end=end)
            elif not stream & 1:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's streams have odd numbers")
            elif stream <= self.last:
                self._refuse_headers(opening)
            else:
                self._begin(stream, opening, end=end)
        except StreamFault as fault:
            self.reset_stream(fault.stream, fault.code)

    def _read_head(self, fields: Headers) -> tuple[RequestHead, Opener] | MalformedError:
        head = read_head(fields)
        return head if isinstance(head, MalformedError) else (head, self._route(head))

    def _begin(self, number: int, opening: tuple[RequestHead, Opener] | MalformedError, *, end: bool) -> None:
        self.last = number
        if self._farewell.last is not None:  # its client knows the last stream that counts, and asks somebody else
            return
        if isinstance(opening, MalformedError) or not opening[0].method:
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, "the head is none")
        if len(self.streams) >= MOST_STREAMS or self.outflow.unsent_bytes > _MOST_UNSENT:
            raise StreamFault(number, ErrorCode.REFUSED_STREAM, "not now")
        head, opener = opening
        stream = Stream(number, self.outflow.first_window, STREAM_WINDOW, head, self._keeping.heard)
        self.streams[number] = stream
        stream.exchange = opener(self, stream)
        if self._hub.retiring:
            stream.exchange.leave()
        if end:
            self.finish(stream)

    def _refuse_headers(self, opening: tuple[RequestHead, Opener] | MalformedError) -> None:
        if isinstance(opening, MalformedError) or opening[0].method:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "headers on a stream that has ended")
        self.spend_upkeep("trailers of streams that have ended")  # under way when the stream was reset

    def _take_trailers(
        self, stream: Stream, trailers: tuple[RequestHead, Opener] | MalformedError, *, end: bool
    ) -> None:
        if stream.half_closed:
            raise StreamFault(stream.number, ErrorCode.STREAM_CLOSED, "headers after the end")
        if not end or isinstance(trailers, MalformedError) or trailers[0].method:
            raise StreamFault(stream.number, ErrorCode.PROTOCOL_ERROR, "these are no trailers")
        self.finish(stream)

    def finish(self, stream: Stream) -> None:
        """Take note that a request is whole.

        Raises:
            StreamFault: its body is shorter than it was said to be.
        """
        if stream.head.length is not None:
            check_length(stream, 0, end=True)
        stream.half_closed = True
        stream.exchange.finish()

    # -- other frames

    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take any frame that is no part of a request."""
        self._control.take(kind, flags, stream, payload)

    def taken_back(self, number: int) -> None:
        """Take note that the client has reset a stream."""
        self._allowance.spend_reset("resets")
        stream = self.streams.pop(number, None)
        if stream is not None:
            self._drop(stream)

    def spend_upkeep(self, what: str) -> None:
        """Take note of a frame that brings nothing.

        Raises:
            ConnectionFault: there are too many of them.
        """
        self._allowance.spend_upkeep(what)

    # -- ends

    def break_stream(self, stream: Stream) -> None:
        """End a stream because of a fault of ours."""
        if stream.number in self.streams:
            self._cut(stream.number, ErrorCode.INTERNAL_ERROR)

    def _answered(self, stream: OutgoingStream) -> None:
        """Forget a stream whose answer is whole; a client that still sends is told that it need not."""
        known = self.streams.pop(stream.number, None)
        if known is None:
            return
        known.exchange = OVER
        self._inflow.forget(known)
        self._keeping.sent()
        self._allowance.answers += 1
        if not known.half_closed:
            self.put(frames.reset(stream.number, ErrorCode.NO_ERROR))
        if self._farewell.last is not None and not self.streams:
            self.loop.call_soon(self.close)

    def consumed(self, stream: Stream) -> None:
        """Let a stream's client send on."""
        self._inflow.consumed(stream)

    def sent_data(self) -> None:
        """Take note that an answer goes on."""
        self._allowance.earn_message()
        self._keeping.sent()

    def _progressed(self, size: int) -> None:
        self._patience.sent(size)
        self._allowance.earn_data(size)
        self._keeping.sent()

    def reset_stream(self, number: int, code: ErrorCode) -> None:
        """End a stream whose client has broken a rule."""
        self._allowance.spend_reset("streams that end in error")
        self._cut(number, code)

    def _cut(self, number: int, code: ErrorCode) -> None:
        self.put(frames.reset(number, code))
        stream = self.streams.pop(number, None)
        if stream is not None:
            self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        self._inflow.forget(stream)
        self.outflow.drop(stream)
        stream.exchange.abandon()
        if self._farewell.last is not None and not self.streams:
            self.loop.call_soon(self.close)

    def _end(self, fault: ConnectionFault) -> None:
        """Tell the client which rule it broke, and close."""
        _log.info("a client's connection ends: %s", fault)
        if not self._closed:
            self._farewell.say(fault.code, str(fault))
            self.close()

    # -- writing

    def put(self, data: bytes) -> None:
        """Have something sent at the end of the loop's turn, together with what comes until then, or now if it is much."""
        if not self._unsent:
            self._hub.send_later(self)
        self._unsent.append(data)
        self._size += len(data)
        if self._size >= _JOINED_BELOW:
            self.send()

    def _put_large(self, pieces: list[bytes | memoryview]) -> None:
        """Have something sent now, together with what waits to be sent; uvloop sends it from where it lies."""
        unsent, self._unsent, self._size = self._unsent, [], 0
        if not self._closed:
            self._transport.writelines([*unsent, *pieces])

    def ping(self, payload: bytes) -> None:
        """Ask whether the client is there."""
        self.put(frames.ping(payload, ack=False))

"""One HTTP/1.1 connection of a client.

Its requests are answered one after the other: in the callback that brings them where the application need not wait, in a task
where it has to.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from charonia.byte_parts import parts_of
from charonia.http_message import HttpResponse, refusal, response_head

from charonia_transport_lean.eager import run
from charonia_transport_lean.guest import Guest
from charonia_transport_lean.incoming import RefusedError
from charonia_transport_lean.large_body import BodyReceiver
from charonia_transport_lean.pace import credited
from charonia_transport_lean.request_reader import RequestReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.http_message import BodyStream
    from charonia.transport import HttpTransport

    from charonia_transport_lean.eager import Progress
    from charonia_transport_lean.guest import Host
    from charonia_transport_lean.incoming import Incoming, WireHead

__all__ = ["Connection"]

_log = logging.getLogger("charonia.transport_lean.connection")

T = TypeVar("T")

_JOINED_BELOW = 65_536
"""Bodies of less than this are written together with their head, which copies them, and with what else the turn answers."""

_PIPELINED = 32
"""How many requests may wait for the one that is being answered before nothing more is read."""

_IN_A_TURN = 64
"""How many requests of one connection are answered before others have their turn."""


class Connection(asyncio.Protocol, Guest):
    """A client's connection, from its first byte to its last.

    Args:
        hub: the door, which knows all connections.
        http: what answers its requests.

    Attributes:
        touched: when the client did something the last time that makes a wait legitimate, in the loop's seconds.
    """

    __slots__ = (
        "_flaw",
        "_full",
        "_handle",
        "_hub",
        "_last",
        "_later",
        "_reader",
        "_room",
        "_size",
        "_task",
        "_transport",
        "_unread",
        "_unsent",
        "touched",
    )

    def __init__(self, hub: Host, http: HttpTransport) -> None:
        self._hub = hub
        self._handle = http.handle
        self._reader = RequestReader(http.limits)
        self._transport: asyncio.Transport
        self._task: Progress[Any] | None = None
        self._room: asyncio.Future[None] | None = None
        self._flaw: RefusedError | None = None
        self._full = False
        self._last = False
        self._later = False
        self._unread = 0
        self._unsent: list[bytes] = []
        self._size = 0
        self.touched = hub.loop.time()

    # -- what the hub asks

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, no part of which has come."""
        return not (self._task or self._reader.in_head or self._reader.in_body or self._reader.requests)

    @property
    def stalled(self) -> bool:
        """Whether it waits for its client: for the rest of a request, for the reading of a response, or for its farewell."""
        if self._last or self._room is not None:
            return True
        return self._task is None and (self._reader.in_head or self._reader.in_body)

    def look(self) -> None:
        """See how much of a response has been read since the last look: a client that reads slowly has not stalled."""
        if self._room is not None:
            unread = self._transport.get_write_buffer_size()
            self._credit(self._unread - unread)
            self._unread = unread

    def _credit(self, count: int) -> None:
        """Let the clock that runs against the client go on from later, for so many bytes that it has sent or read."""
        self.touched = credited(self.touched, count, self._hub.loop.time())

    def send(self) -> None:
        """Send what was written in this turn of the loop."""
        unsent, self._unsent, self._size = self._unsent, [], 0
        if unsent and not self._transport.is_closing():
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def close(self) -> None:
        """Close when what was written has been sent."""
        self.send()
        if not self._transport.is_closing():  # before 3.11.4, asyncio's TLS that is closed twice cannot even be aborted
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport
        self._hub.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what is in progress is taken back."""
        self._last = True
        if self._task is not None:
            self._task.cancel()
        self._hub.lost(self)

    def data_received(self, data: bytes) -> None:
        """Answer what came, as far as it can be answered at once."""
        reader = self._reader
        if self._last or self._flaw is not None:
            # what still comes is dropped, and the connection left open for it: else the last response would go with it
            if reader.skip(data) and self._last:
                self.close()
            return
        if reader.in_body:
            self._credit(len(data))
        elif not reader.in_head:  # else the clock goes on that ran when the head began
            self.touched = self._hub.loop.time()
        try:
            reader.feed(data)
        except RefusedError as flaw:
            self._flaw = flaw
        if reader.large is not None:
            self._listen(BodyReceiver(self))
        self._answer()

    def place(self) -> memoryview:
        """Say where the next bytes of a large body belong."""
        large = self._reader.large
        assert large is not None  # noqa: S101 - else the loop would not ask
        return large.place()

    def body_received(self, count: int) -> None:
        """Answer the request whose large body this completes."""
        self._credit(count)
        try:
            self._reader.placed(count)
        except RefusedError as flaw:
            self._flaw = flaw
        if self._reader.large is None:
            self._listen(self)
            if self._last:
                self.close()
            self._answer()

    def _listen(self, protocol: Connection | BodyReceiver) -> None:
        """Have the loop give what comes to another protocol, whose kind it looks at when reading begins."""
        self._transport.pause_reading()
        self._transport.set_protocol(protocol)
        self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Write nothing more: the client does not read."""
        self.touched = self._hub.loop.time()
        self._unread = self._transport.get_write_buffer_size()
        self._room = self._hub.loop.create_future()

    def resume_writing(self) -> None:
        """Write again."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
        self._answer()

    # -- answering

    def _answer(self) -> None:
        """Answer in their order the requests that are there, until one has to be waited for."""
        requests = self._reader.requests
        turn = _IN_A_TURN
        while requests and self._free:
            if not turn:
                self._answer_on()
                break
            turn -= 1
            self._begin(requests.popleft())
        if not requests and self._free:
            if self._flaw is not None:
                self._write_last(self._flaw)
            elif self._reader.awaited:
                self._reader.awaited = False
                self._put(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._full != (len(requests) > _PIPELINED):
            self._full = not self._full
            (self._transport.pause_reading if self._full else self._transport.resume_reading)()

    def _answer_on(self) -> None:
        """Go on when others have had their turn."""
        if not self._later:
            self._later = True
            self._hub.loop.call_soon(self._answer_now)

    def _answer_now(self) -> None:
        self._later = False
        self._answer()

    @property
    def _free(self) -> bool:
        return self._task is None and self._room is None and not self._last

    def _begin(self, incoming: Incoming) -> None:
        head, request = incoming
        try:
            answering = self._handle(request)
            response = answering if isinstance(answering, HttpResponse) else run(self._hub.loop, answering)
            if isinstance(response, HttpResponse):
                self._respond(head, response)
            else:
                self._await(response, partial(self._respond, head))
        except Exception:  # noqa: BLE001 - the application's promise broken: a fault of ours ends this connection alone
            _log.exception("failed to answer a request")
            self._transport.abort()

    def _respond(self, head: WireHead, response: HttpResponse) -> None:
        if response.stream is None:
            self._write(head, response)
        elif self._last:  # the client has gone
            response.stream.close()
        else:
            writing = run(self._hub.loop, self._write_stream(head, response, response.stream))
            if writing is not None:
                self._await(writing, _nothing)

    def _await(self, task: Progress[T], then: Callable[[T], None]) -> None:
        """Answer nothing else until a task has ended, and go on with what it gives."""
        self._task = task
        task.add_done_callback(partial(self._go_on, then))

    def _go_on(self, then: Callable[[T], None], task: Progress[T]) -> None:
        self._task = None
        try:
            then(task.result())
        except asyncio.CancelledError:
            self._transport.abort()
        except Exception:  # noqa: BLE001 - as in `_begin`
            _log.exception("failed to answer a request")
            self._transport.abort()
        else:
            if self._task is None:
                self.touched = self._hub.loop.time()
                self._answer()

    # -- writing

    def _write(self, asked: WireHead, response: HttpResponse) -> None:
        if self._last:
            return  # the client has gone
        closing = "Connection" in response.headers
        keep = asked.keep and not (closing or self._hub.retiring)
        if asked.http_1_1:
            version, connection = "HTTP/1.1", "" if keep or closing else "Connection: close\r\n"
        else:
            version, connection = "HTTP/1.0", "Connection: keep-alive\r\n" if keep else ""
        body = response.body
        head = response_head(version, response, connection, f"Content-Length: {len(body)}\r\n")
        if asked.method == "HEAD":
            self._put(head)
        elif isinstance(body, bytes) and len(body) < _JOINED_BELOW:
            self._put(head + body)
        else:
            unsent, self._unsent, self._size = self._unsent, [], 0
            self._transport.writelines([*unsent, head, *parts_of(body)])  # which uvloop sends from where they lie
        if not keep:
            self._end()

    def _put(self, data: bytes) -> None:
        """Have something sent at the end of the loop's turn, together with what comes until then, or now if it is much.

        Every sending wakes the client, which costs as much as answering a small request: a client with many connections is
        woken once for all that its requests of one turn are answered with.
        """
        if not self._unsent:
            self._hub.send_later(self)
        self._unsent.append(data)
        self._size += len(data)
        if self._size >= _JOINED_BELOW:
            self.send()

    def _write_last(self, flaw: RefusedError) -> None:
        self._put(refusal(flaw.status, str(flaw)))
        self._end()

    def _end(self) -> None:
        """Write nothing more. A connection that closes on a body that is still arriving would take the response with it."""
        self._last = True
        self.touched = self._hub.loop.time()
        if not self._reader.in_body:
            self.close()

    async def _write_stream(self, asked: WireHead, response: HttpResponse, stream: BodyStream) -> None:
        """Write a response while it is made, as fast as the client reads it."""
        try:
            chunked = asked.http_1_1
            keep = chunked and asked.keep and not self._hub.retiring
            connection = "" if keep else "Connection: close\r\n"
            framing = "Transfer-Encoding: chunked\r\n" if chunked else ""  # else the connection's end is the body's
            version = "HTTP/1.1" if chunked else "HTTP/1.0"
            self._put(response_head(version, response, connection, framing))
            async for piece in stream:
                self._put(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                if self._room is not None:
                    await self._room
            if chunked:
                self._put(b"0\r\n\r\n")
        finally:
            stream.close()
        if not keep or self._hub.retiring:
            self._end()


def _nothing(_result: None) -> None:
    """Do nothing more: what was to be written is."""

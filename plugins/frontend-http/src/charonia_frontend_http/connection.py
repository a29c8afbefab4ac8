"""One HTTP connection: aiohttp parses what comes, the application answers, and the response is written in one piece.

aiohttp's own loop makes a task, a request object and a writer for every request, which together cost as much as decoding and
encoding a small inference; here a connection has one task for its life, which sleeps while requests are answered in the
callback that brings them, since nothing has to be waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from aiohttp import web_protocol  # noqa: TID253 - this module is imported with the frontend, not with the plugin
from aiohttp.http_exceptions import (  # noqa: TID253 - the same
    BadHttpMessage,
    BadHttpMethod,
    HttpProcessingError,
    LineTooLong,
)
from aiohttp.http_parser import RawRequestMessage  # noqa: TID253 - the same
from charonia.byte_parts import parts_of
from charonia.header_fields import HeaderFields
from charonia.http_message import HttpRequest, HttpResponse, RequestHead, refusal, response_head, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web
    from aiohttp.streams import StreamReader
    from charonia.http_message import BodyStream, HttpAnswering
    from charonia.transport import HttpHandler, HttpLimits

__all__ = ["Connection"]

_DRAIN_ABOVE = 65_536
_HTTP_1_0 = (1, 0)
_IDLE_SECONDS = 3600.0
_LINGER_SECONDS = 10.0
"""How long what a client still sends after a refusal is read and dropped, so that it can read the refusal."""


class _TooLargeError(Exception):
    """The body exceeds the limit."""


class Connection(web_protocol.RequestHandler):
    """A client's connection, from its first byte to its last.

    Args:
        server: aiohttp's server, which keeps count of connections.
        handle: answers a request; cancelled where the client goes away.
        limits: what is too large.
        retiring: whether the server takes no further requests.
    """

    __slots__ = ("_begun", "_handle", "_head", "_limits", "_retiring", "_said")

    def __init__(
        self,
        server: web.Server,
        handle: HttpHandler,
        limits: HttpLimits,
        retiring: Callable[[], bool],
    ) -> None:
        # aiohttp undoes content codings by itself, but whether one is supported is the application's matter
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # for aiohttp this means none, whatever its annotation says
            auto_decompress=False,
            max_line_size=limits.line,
            max_field_size=limits.line,
        )
        self._handle = handle
        self._limits = limits
        self._retiring = retiring
        self._begun: HttpAnswering | None = None  # the answer to the queue's first request, for the task
        self._head: RequestHead
        self._said: tuple[str, str, Any] | None = None  # by the last head

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, no part of which is being handled."""
        return self._waiter is not None and not self._waiter.done()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - the base's
        """Read again, where reading was paused: aiohttp says so for every body, and would look for what it left unparsed."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def data_received(self, data: bytes) -> None:
        """Take what came, and answer it as far as nothing has to be waited for; the rest wakes the task."""
        waiter, self._waiter = self._waiter, None  # which the base would wake for every request
        try:
            super().data_received(data)
            if waiter is None or waiter.done():
                return  # the task is busy, and looks for itself when it is not any more
            while self._messages and self._answer_at_once(*self._messages[0]):
                self._messages.popleft()
            if self._messages:
                waiter.set_result(None)
        finally:
            self._waiter = waiter

    def _answer_at_once(self, message: Any, payload: StreamReader) -> bool:
        """Answer a request that is all there. False if that is left to the task, which may find that it has begun."""
        whole = isinstance(message, RawRequestMessage) and payload.is_eof() and payload.total_bytes <= self._limits.body
        if not whole or self._buffer_paused or self.transport is None or self.transport.is_closing():
            return False
        answering = self._handle(HttpRequest(self._head_of(message), payload.read_nowait()))
        if isinstance(answering, HttpResponse) and answering.stream is None and len(answering.body) < _DRAIN_ABOVE:
            head, keep = self._head_for(message, answering)
            if keep:
                self._consumed()
                self._send(head if message.method == "HEAD" else head + bytes(answering.body))
                self._next_keepalive_close_time = self._loop.time() + _IDLE_SECONDS
                return True
        self._begun = answering
        return False

    async def start(self) -> None:
        """Answer requests in their order until one side wants no more. The one task of this connection."""
        try:
            while not self._force_close:
                message, payload = await self._next_message()
                if not isinstance(message, RawRequestMessage):
                    self._refuse(message)
                    break
                if not await self._answer(message, payload):
                    await self._linger(payload)
                    break
                self._next_keepalive_close_time = self._loop.time() + _IDLE_SECONDS
        except ConnectionError:
            pass  # the client has gone, and with it whoever could be told
        finally:
            if self._begun is not None:
                _give_up(self._begun)
            if self.transport is not None:
                self.transport.close()

    async def _next_message(self) -> tuple[Any, StreamReader]:
        if not self._messages:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, payload = self._messages.popleft()
        self._consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return message, payload

    def _consumed(self) -> None:
        """Take note that a request is off the queue."""
        if self._parser is not None:
            self._parser.message_consumed()

    async def _answer(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Answer one request, which may have begun. False if the connection is to be closed after it."""
        begun, self._begun = self._begun, None
        if begun is not None:
            return await self._write(message, await settled(begun))
        try:
            body = await self._read(message, payload)
        except _TooLargeError:
            self._send(refusal(413, self._limits.body_refusal))
            return False
        except BadHttpMessage as error:
            self._send(refusal(400, f"malformed request body: {error.message}"))
            return False
        response = await settled(self._handle(HttpRequest(self._head_of(message), body)))
        return await self._write(message, response)

    def _head_of(self, message: RawRequestMessage) -> RequestHead:
        """Give the head of a request: the same object as long as the client sends the same, since thinking about one costs."""
        said = message.method, message.path, message.raw_headers
        if said != self._said:
            self._said = said
            self._head = RequestHead(message.method, message.path, HeaderFields(message.headers.items()))
        return self._head

    async def _read(self, message: RawRequestMessage, payload: StreamReader) -> bytes:
        if payload.is_eof():
            return self._within_limit(payload.read_nowait())
        length = message.headers.get("Content-Length")
        if length is not None and int(length) > self._limits.body:
            raise _TooLargeError
        if message.version > _HTTP_1_0 and message.headers.get("Expect", "").lower() == "100-continue":
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunks: list[bytes] = []
        size = 0
        while not payload.at_eof():
            chunk = await payload.readany()
            size += len(chunk)
            if size > self._limits.body:
                raise _TooLargeError
            chunks.append(chunk)
        return b"".join(chunks)

    def _within_limit(self, body: bytes) -> bytes:
        if len(body) > self._limits.body:
            raise _TooLargeError
        return body

    async def _write(self, message: RawRequestMessage, response: HttpResponse) -> bool:
        """Write a response. False if it says that the connection closes."""
        if response.stream is not None:
            return await self._write_stream(message, response, response.stream)
        head, keep = self._head_for(message, response)
        body = response.body
        if message.method == "HEAD":
            self._send(head)
        elif isinstance(body, bytes) and len(body) < _DRAIN_ABOVE:
            self._send(head + body)
        else:
            for part in (head, *parts_of(body)):
                self._send(part)
            await self._drain_helper()
        return keep

    def _head_for(self, message: RawRequestMessage, response: HttpResponse) -> tuple[bytes, bool]:
        """Write the head of a response, and tell whether the connection is kept."""
        closing = "Connection" in response.headers
        keep = not (closing or message.should_close or self._force_close or self._retiring())
        if message.version > _HTTP_1_0:
            version, connection = "HTTP/1.1", "" if keep or closing else "Connection: close\r\n"
        else:
            version, connection = "HTTP/1.0", "Connection: keep-alive\r\n" if keep else ""
        return response_head(version, response, connection, f"Content-Length: {len(response.body)}\r\n"), keep

    async def _write_stream(self, message: RawRequestMessage, response: HttpResponse, stream: BodyStream) -> bool:
        """Write a response while it is made, as fast as the client reads it; it stops being made when the client goes away."""
        try:
            chunked = message.version > _HTTP_1_0
            keep = chunked and not (message.should_close or self._force_close or self._retiring())
            connection = "" if keep else "Connection: close\r\n"
            framing = "Transfer-Encoding: chunked\r\n" if chunked else ""  # else the connection's end is the body's
            self._send(response_head("HTTP/1.1" if chunked else "HTTP/1.0", response, connection, framing))
            async for piece in stream:
                self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await self._drain_helper()
            if chunked:
                self._send(b"0\r\n\r\n")
            return keep and not self._retiring()
        finally:
            stream.close()

    def _send(self, data: bytes | memoryview) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(data)

    async def _linger(self, payload: StreamReader) -> None:
        """Read what a client still sends, and drop it: a connection that closes on unread data takes the response with it."""
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not payload.at_eof():
                    await payload.readany()
        except (TimeoutError, BadHttpMessage, HttpProcessingError):
            pass

    def _refuse(self, flaw: Any) -> None:
        """Refuse what is no HTTP. The connection closes, since nobody knows where the next request would start."""
        status, text = flaw.status, " ".join((flaw.message or "malformed request").split())
        if isinstance(flaw.exc, LineTooLong):
            status, text = 431, self._limits.line_refusal
        elif isinstance(flaw.exc, BadHttpMethod) and text.startswith(
            "Invalid method"
        ):  # a verb that aiohttp does not know
            status, text = 405, "Method Not Allowed"
        self._send(refusal(status, text))


def _give_up(begun: HttpAnswering) -> None:
    """End an answer that nobody waits for any more: what it has set going is taken back."""
    if isinstance(begun, HttpResponse):
        if begun.stream is not None:
            begun.stream.close()
        return
    with contextlib.suppress(asyncio.CancelledError, StopIteration):
        begun.send(None)  # one that has not begun to wait would notice nothing
        begun.throw(asyncio.CancelledError())

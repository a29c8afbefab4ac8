"""One HTTP connection: aiohttp parses what comes, the application answers, and the response is written in one piece.

aiohttp's own loop makes a task, a request object and a writer for every request, which together cost as much as decoding and
encoding a small inference; here a connection has one task for its life.
"""

from __future__ import annotations

import asyncio
import logging
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
from charonia.http_message import HttpRequest, RequestHead, refusal, response_head, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web
    from aiohttp.streams import StreamReader
    from charonia.http_message import BodyStream, HttpResponse
    from charonia.transport import HttpHandler, HttpLimits

__all__ = ["Connection"]

_log = logging.getLogger(__name__)

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

    __slots__ = ("_handle", "_head", "_limits", "_retiring", "_said")

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
        self._head: RequestHead
        self._said: tuple[str, str, Any] | None = None  # by the last head

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, no part of which is being handled."""
        return self._waiter is not None and not self._waiter.done()

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
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return message, payload

    async def _answer(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Answer one request. False if the connection is to be closed after it."""
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
            self._head = RequestHead(message.method, message.path, message.headers)
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
        closing = "Connection" in response.headers
        keep = not (closing or message.should_close or self._force_close or self._retiring())
        if message.version > _HTTP_1_0:
            version, connection = "HTTP/1.1", "" if keep or closing else "Connection: close\r\n"
        else:
            version, connection = "HTTP/1.0", "Connection: keep-alive\r\n" if keep else ""
        body = response.body
        head = response_head(version, response, connection, f"Content-Length: {len(body)}\r\n")
        if message.method == "HEAD":
            self._send(head)
        elif isinstance(body, bytes) and len(body) < _DRAIN_ABOVE:
            self._send(head + body)
        else:
            for part in (head, *parts_of(body)):
                self._send(part)
            await self._drain_helper()
        return keep

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

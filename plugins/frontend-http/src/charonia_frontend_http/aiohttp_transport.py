"""The adapter between aiohttp and the application; the only file that knows aiohttp.

aiohttp parses requests and keeps the connections; the response is written here in one piece, which saves a third of the cost
of a small one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web, web_protocol  # noqa: TID253 - this is the module that everyone else leaves to be imported late
from aiohttp.http_exceptions import (  # noqa: TID253 - the same
    BadHttpMessage,
    BadHttpMethod,
    HttpProcessingError,
    LineTooLong,
)

from charonia_frontend_http.message import PLAIN, HttpRequest, HttpResponse, error_body
from charonia_frontend_http.status import REASON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

__all__ = ["AiohttpTransport", "Limits"]

_log = logging.getLogger(__name__)

_BACKLOG = 1024
_DRAIN_ABOVE = 65_536
_HTTP_1_0 = (1, 0)
_LAST_SECONDS = 1.0
"""How long the end of requests that were cancelled may take."""


@dataclass(frozen=True)
class Limits:
    """How large the parts of a request may be, in bytes.

    Attributes:
        line: the request line, and each header field.
        body: the body.
    """

    line: int
    body: int


class AiohttpTransport:
    """Serves an application over HTTP/1.1.

    Args:
        handle: answers a request; cancelled where the client goes away.
        limits: what is too large.
    """

    def __init__(self, handle: Callable[[HttpRequest], Awaitable[HttpResponse]], limits: Limits) -> None:
        self._handle = handle
        self._limits = limits
        self._heads: dict[tuple[int, str], str] = {}
        self._server: _Server | None = None
        self._listener: asyncio.Server | None = None

    async def listen(self, address: str, port: int, *, reuse_port: bool) -> int:
        """Accept connections. Gives the port, which is another one where 0 was asked for.

        Raises:
            OSError: the address is taken, or not of this machine.
        """
        # aiohttp undoes content codings by itself, but whether one is supported is the application's matter
        self._server = _Server(
            self._answer,
            request_factory=_make_request(self._limits.body),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=self._limits.line,
            max_field_size=self._limits.line,
        )
        self._listener = await asyncio.get_running_loop().create_server(
            self._server, address, port, reuse_port=reuse_port or None, backlog=_BACKLOG
        )
        return int(self._listener.sockets[0].getsockname()[1])

    async def close(self, grace_seconds: float) -> None:
        """Close the door and idle connections at once; the others when their request is answered, or after the grace."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        await self._server.retire(grace_seconds)
        await self._listener.wait_closed()
        self._listener = self._server = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._respond(request)
        keep = self._server is not None and not self._server.retiring
        return cast("web.StreamResponse", _Written(response, self._head(response), keep=keep))

    async def _respond(self, request: web.BaseRequest) -> HttpResponse:
        length = request.content_length
        if length is not None and length > self._limits.body:
            return self._too_large()
        if request.headers.get("Expect", "").lower() == "100-continue" and request.version > _HTTP_1_0:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            content = request.content
            body = content.read_nowait() if content.is_eof() else await request.read()
            if len(body) > self._limits.body:
                return self._too_large()
        except web.HTTPRequestEntityTooLarge:
            return self._too_large()
        except BadHttpMessage as error:
            return HttpResponse(400, error_body(f"malformed request body: {error.message}"), PLAIN, _CLOSE)
        return await self._handle(HttpRequest(request.method, request.raw_path, request.headers, body))

    def _too_large(self) -> HttpResponse:
        text = f"request body exceeds the maximum of {self._limits.body} bytes. Use --http-max-body-size to increase the limit."
        return HttpResponse(413, error_body(text), PLAIN, _CLOSE)

    def _head(self, response: HttpResponse) -> str:
        key = (response.status, response.content_type)
        head = self._heads.get(key)
        if head is None:
            head = f" {response.status} {REASON[response.status]}\r\nContent-Type: {response.content_type}\r\n"
            self._heads[key] = head
        for name, value in response.headers.items():
            head += f"{name}: {value}\r\n"
        return head


_CLOSE = {"Connection": "close"}


class _Written:
    """A response as aiohttp wants one, with its bytes made by us."""

    __slots__ = ("_head", "_keep", "_readable", "_response", "keep_alive", "prepared", "status")

    def __init__(self, response: HttpResponse, head: str, *, keep: bool, readable: bool = True) -> None:
        self._response = response
        self._head = head
        self._keep = keep
        self._readable = readable  # else the request's version is not known
        self.status = response.status
        self.prepared = False
        self.keep_alive = False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write the whole response."""
        self.prepared = True
        closing = "Connection" in self._response.headers
        self.keep_alive = self._keep and request.keep_alive and not closing
        if request.version <= _HTTP_1_0 and self._readable:
            start = "HTTP/1.0"
            connection = "Connection: keep-alive\r\n" if self.keep_alive else ""
        else:
            start = "HTTP/1.1"
            connection = "" if self.keep_alive or closing else "Connection: close\r\n"
        body = self._response.body
        head = f"{start}{self._head}{connection}Date: {_date()}\r\nContent-Length: {len(body)}\r\n\r\n".encode(
            "latin-1"
        )
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if request.method == "HEAD":
            transport.write(head)
        elif len(body) < _DRAIN_ABOVE:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
            await request.writer.drain()

    async def write_eof(self) -> None:
        """Do nothing: all is written."""


_today = (0, "")


def _date() -> str:
    """Tell the time as HTTP writes it, made once a second."""
    global _today  # noqa: PLW0603 - a cache of the clock
    now = int(time.time())
    if now != _today[0]:
        _today = (now, formatdate(now, usegmt=True))
    return _today[1]


def _make_request(max_body: int) -> Callable[..., web.BaseRequest]:
    def make(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web_protocol.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, protocol._loop, client_max_size=max_body)  # noqa: SLF001 - as aiohttp's own factory does

    return make


class _Server(web.Server):
    """aiohttp's server, with our connections, and with a shutdown of its own.

    aiohttp's own one stops reading from every connection first, so that a request whose body is still arriving is lost.
    """

    retiring = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: dict[web_protocol.RequestHandler, asyncio.Transport] = {}
        self._emptied = asyncio.Event()

    def __call__(self) -> web_protocol.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web_protocol.RequestHandler, transport: asyncio.Transport) -> None:
        self._open[handler] = transport
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web_protocol.RequestHandler, exc: BaseException | None = None) -> None:
        self._open.pop(handler, None)
        if not self._open:
            self._emptied.set()
        super().connection_lost(handler, exc)

    async def retire(self, grace_seconds: float) -> None:
        """Close idle connections now, busy ones after their response, and what is left after the grace."""
        self.retiring = True
        self._close_idle()
        await asyncio.sleep(0)  # a connection that was just accepted waits for its first request only after a turn
        self._close_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._wait_empty()
        for transport in self._open.values():
            transport.abort()  # its request is cancelled, and what its client did not read is dropped
        await self._wait_empty()
        await self.shutdown(_LAST_SECONDS)

    def _close_idle(self) -> None:
        for connection in list(self._open):
            if cast("_Connection", connection).idle:
                connection.force_close()

    async def _wait_empty(self) -> None:
        if self._open:
            self._emptied.clear()
            await self._emptied.wait()


class _Connection(web_protocol.RequestHandler):
    """aiohttp's connection, which tells errors in the protocol's form."""

    __slots__ = ()

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, no part of which is being handled."""
        return self._waiter is not None and not self._waiter.done()

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Refuse what is no HTTP. The connection closes, since nobody knows where the next request would start."""
        text = " ".join((message or "malformed request").split())
        if isinstance(exc, LineTooLong):
            status = 431
            text = "a line of the request's head is too long. Use --http-max-header-size to increase the limit."
        elif isinstance(exc, BadHttpMethod) and text.startswith("Invalid method"):  # a verb that aiohttp does not know
            status, text = 405, "Method Not Allowed"
        elif not isinstance(exc, HttpProcessingError):
            _log.error("failed to answer a request", exc_info=exc)
        response = HttpResponse(status, error_body(text), PLAIN, _CLOSE)
        head = f" {status} {REASON.get(status, 'Error')}\r\nContent-Type: {PLAIN}\r\nConnection: close\r\n"
        return cast("web.StreamResponse", _Written(response, head, keep=False, readable=False))

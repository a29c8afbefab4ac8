"""The adapter between aiohttp and the application: it listens, keeps the connections, and ends them in good order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from aiohttp import web  # noqa: TID253 - with `connection`, the module that everyone else leaves to be imported late
from charonia.transport import HttpTransport

from charonia_frontend_http.connection import Connection

if TYPE_CHECKING:
    from aiohttp import web_protocol
    from charonia.tls import TlsFiles
    from charonia.transport import HttpHandler, HttpLimits

__all__ = ["AiohttpTransport"]

_BACKLOG = 1024
_LAST_SECONDS = 1.0
"""How long the end of requests that were cancelled may take."""


class AiohttpTransport(HttpTransport):
    """The standard transport for HTTP/1.1."""

    def __init__(self, handle: HttpHandler, limits: HttpLimits) -> None:
        super().__init__(handle, limits)
        self._server: _Server | None = None
        self._listener: asyncio.Server | None = None

    async def listen(self, address: str, port: int, *, reuse_port: bool, tls: TlsFiles | None = None) -> int:
        """Accept connections."""
        self._server = _Server(self.handle, self.limits)
        context = tls.context(["http/1.1"]) if tls else None
        self._listener = await asyncio.get_running_loop().create_server(
            self._server, address, port, reuse_port=reuse_port or None, backlog=_BACKLOG, ssl=context
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


async def _unused(_request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("connections pass their requests on by themselves")


class _Server(web.Server):
    """aiohttp's server, with our connections, and with a shutdown of its own.

    aiohttp's own one stops reading from every connection first, so that a request whose body is still arriving is lost.
    """

    def __init__(self, handle: HttpHandler, limits: HttpLimits) -> None:
        super().__init__(_unused, handler_cancellation=True)
        self._handle = handle
        self._limits = limits
        self._open: dict[web_protocol.RequestHandler, asyncio.Transport] = {}
        self._emptied = asyncio.Event()
        self._retiring = False

    def __call__(self) -> web_protocol.RequestHandler:
        return Connection(self, self._handle, self._limits, lambda: self._retiring)

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
        self._retiring = True
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
            if cast("Connection", connection).idle:
                connection.force_close()

    async def _wait_empty(self) -> None:
        if self._open:
            self._emptied.clear()
            await self._emptied.wait()

"""The transport: it listens, knows its connections, ends those whose clients do not go on, and closes in good order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from charonia.transport import HttpTransport

from charonia_transport_lean.connection import Connection

if TYPE_CHECKING:
    from charonia.tls import TlsFiles
    from charonia.transport import HttpHandler, HttpLimits

__all__ = ["LeanTransport"]

_BACKLOG = 1024

_ROUND_SECONDS = 5.0
"""How often connections are looked at."""

_STALL_SECONDS = 60.0
"""How long a client may leave a request unfinished, or a response unread, or stay after its last response."""

_IDLE_SECONDS = 3600.0
"""How long a client may keep a connection without a request."""


class LeanTransport(HttpTransport):
    """HTTP/1.1 with little between the socket and the application.

    Attributes:
        loop: the event loop that it was made on.
        retiring: whether connections close after the request that is being answered.
    """

    def __init__(self, handle: HttpHandler, limits: HttpLimits) -> None:
        super().__init__(handle, limits)
        self.loop = asyncio.get_running_loop()
        self.retiring = False
        self._listener: asyncio.Server | None = None
        self._open: set[Connection] = set()
        self._unsent: list[Connection] = []
        self._emptied = asyncio.Event()
        self._round: asyncio.TimerHandle | None = None

    async def listen(self, address: str, port: int, *, reuse_port: bool, tls: TlsFiles | None = None) -> int:
        """Accept connections."""
        context = tls.context(["http/1.1"]) if tls else None
        self._listener = await self.loop.create_server(
            lambda: Connection(self), address, port, reuse_port=reuse_port or None, backlog=_BACKLOG, ssl=context
        )
        self._round = self.loop.call_later(_ROUND_SECONDS, self._look_after)
        return int(self._listener.sockets[0].getsockname()[1])

    async def close(self, grace_seconds: float) -> None:
        """Close the door; connections end as they come to be idle, or after the grace."""
        if self._listener is None or self._round is None:
            return
        self._listener.close()
        self._round.cancel()
        self.retiring = True
        self._close_idle()
        await asyncio.sleep(0)  # connections that were accepted in this turn are known only in the next
        self._close_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._wait_empty()
        for connection in self._open:
            connection.abort()
        await self._wait_empty()
        await self._listener.wait_closed()
        self._listener = None

    # -- what connections tell

    def opened(self, connection: Connection) -> None:
        """Know a connection."""
        self._open.add(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        if not self._open:
            self._emptied.set()

    def send_later(self, connection: Connection) -> None:
        """Have a connection send at the end of this turn of the loop."""
        if not self._unsent:
            self.loop.call_soon(self._send)
        self._unsent.append(connection)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for connection in unsent:
            connection.send()

    # -- looking after them

    def _look_after(self) -> None:
        now = self.loop.time()
        for connection in list(self._open):
            connection.look()
            quiet = now - connection.touched
            if connection.stalled and quiet > _STALL_SECONDS:
                connection.abort()
            elif connection.idle and quiet > _IDLE_SECONDS:
                connection.close()
        self._round = self.loop.call_later(_ROUND_SECONDS, self._look_after)

    def _close_idle(self) -> None:
        for connection in list(self._open):
            if connection.idle:
                connection.close()

    async def _wait_empty(self) -> None:
        if self._open:
            self._emptied.clear()
            await self._emptied.wait()

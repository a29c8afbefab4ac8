"""A connection whose two ends have yet to agree on TLS."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from charonia_transport_lean.arrival import Arrival
from charonia_transport_lean.eager import run
from charonia_transport_lean.guest import Guest

if TYPE_CHECKING:
    import ssl

    from charonia_transport_lean.eager import Progress
    from charonia_transport_lean.guest import Host

__all__ = ["Handshake"]

_log = logging.getLogger("charonia.transport_lean.handshake")

_HANDSHAKE_SECONDS, _SHUTDOWN_SECONDS = 20.0, 5.0
"""How long a client may take to agree on TLS, and to say farewell in it."""


class Handshake(asyncio.Protocol, Guest):
    """Agrees on TLS with a client, which counts among the guests from its first moment on, and hands the connection over.

    Args:
        door: where it came in.
        context: our side of TLS.
    """

    __slots__ = ("_came", "_context", "_door", "_task", "_transport", "touched")

    def __init__(self, door: Host, context: ssl.SSLContext) -> None:
        self._door = door
        self._context = context
        self._came = b""
        self._task: Progress[None] | None = None
        self._transport: asyncio.Transport
        self.touched = door.loop.time()

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, which it always does."""
        return True

    @property
    def stalled(self) -> bool:
        """Whether it waits for its client, which it always does."""
        return True

    def leave(self) -> None:
        """Go on: when both have agreed, the client can be told that it has to leave."""

    def send(self) -> None:
        """Send nothing: nothing was written."""

    def close(self) -> None:
        """Close now; there is nothing to be sent before."""
        self._transport.abort()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    # -- what the loop calls, until TLS is in between

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, when the loop has begun to read: uvloop does that only when this has returned."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport
        self._door.opened(self)
        self._door.loop.call_soon(self._begin)

    def data_received(self, data: bytes) -> None:
        """Keep what comes before TLS is there."""
        self._came += data

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._door.lost(self)

    # -- agreeing

    def _begin(self) -> None:
        if not self._transport.is_closing():
            self._task = run(self._door.loop, self._agree())
            self._door.loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        """Give TLS, which is in between now, what came before it was."""
        protocol = cast("asyncio.BufferedProtocol", self._transport.get_protocol())  # as it is on both loops
        came = memoryview(self._came)
        while came and not self._transport.is_closing():
            room = memoryview(protocol.get_buffer(len(came)))
            count = min(len(room), len(came))
            room[:count] = came[:count]
            protocol.buffer_updated(count)
            came = came[count:]

    async def _agree(self) -> None:
        arrival = Arrival(self._door)
        try:
            secure = await self._door.loop.start_tls(
                self._transport,
                arrival,
                self._context,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except OSError as error:
            _log.debug("a client did not agree on TLS: %s", error)
            secure = None
        self._door.lost(self)
        if secure is not None and not secure.is_closing():
            arrival.connection_made(secure)

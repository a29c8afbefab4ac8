"""A connection of which nobody knows yet what its client speaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from charonia.transport import KeepAlive

from charonia_transport_lean.connection import Connection
from charonia_transport_lean.guest import Guest
from charonia_transport_lean.http2.connection import Http2Connection
from charonia_transport_lean.http2.frames import PREFACE
from charonia_transport_lean.routes import route

if TYPE_CHECKING:
    import ssl

    from charonia_transport_lean.guest import Host

__all__ = ["Arrival"]


class Arrival(asyncio.Protocol, Guest):
    """Waits until the first bytes, or TLS, tell the protocol, and hands the connection over.

    Args:
        door: where it came in.
    """

    __slots__ = ("_came", "_door", "_transport", "touched")

    def __init__(self, door: Host) -> None:
        self._door = door
        self._came = b""
        self._transport: asyncio.Transport | None = None
        self.touched = door.loop.time()

    @property
    def idle(self) -> bool:
        """Whether nothing has come."""
        return not self._came

    @property
    def stalled(self) -> bool:
        """Whether it waits for its client, which it always does."""
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; with TLS the protocol may be known by now."""
        self._transport = stream = cast("asyncio.Transport", transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        agreed = tls.selected_alpn_protocol() if tls is not None else None
        if agreed is not None or self._door.http is None:
            self._hand_over(stream, http2=agreed != "http/1.1" or self._door.http is None)
        else:
            self._door.opened(self)
            self._look_at(stream)

    def data_received(self, data: bytes) -> None:
        """Look at the first bytes, some of which may come with the end of TLS's handshake, before the connection is made."""
        self._came += data
        if self._transport is not None:
            self._look_at(self._transport)

    def _look_at(self, transport: asyncio.Transport) -> None:
        start = self._came[: len(PREFACE)]
        if start == PREFACE or not PREFACE.startswith(start):
            self._door.lost(self)
            self._hand_over(transport, http2=start == PREFACE)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._door.lost(self)

    def send(self) -> None:
        """Send nothing: nothing was written."""

    def close(self) -> None:
        """Close; nothing was written that would have to be sent before."""
        self.abort()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def _hand_over(self, transport: asyncio.Transport, *, http2: bool) -> None:
        door = self._door
        protocol: Http2Connection | Connection
        if http2:
            keep_alive = door.rpc.settings.keep_alive if door.rpc is not None else _WITHOUT_RULES
            protocol = Http2Connection(door, lambda head: route(door, head), keep_alive)
        else:
            assert door.http is not None  # noqa: S101 - else nothing else than HTTP/2 would be spoken
            protocol = Connection(door, door.http)
        reading = transport.is_reading()
        if reading:  # the loop looks at the protocol's kind when reading begins
            transport.pause_reading()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if reading:
            transport.resume_reading()
        if isinstance(protocol, Connection):
            if self._came:
                protocol.data_received(self._came)
        else:
            protocol.feed(self._came)


_WITHOUT_RULES = KeepAlive(time_ms=0, max_ping_strikes=0)
"""HTTP has no rules of its own for pings."""

"""A door: it listens, tells which protocol a client speaks, knows the connections behind it, and closes in good order.

One door may serve HTTP and gRPC, on one port.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from charonia_transport_lean.arrival import Arrival
from charonia_transport_lean.crowd import most_guests, whoever_leaves
from charonia_transport_lean.guest import Guest, Host
from charonia_transport_lean.handshake import Handshake

if TYPE_CHECKING:
    import ssl

    from charonia.tls import TlsFiles
    from charonia.transport import HttpTransport, RpcTransport

__all__ = ["Door", "open_door"]

_BACKLOG = 1024

_ROUND_SECONDS = 5.0
"""How often connections are looked at."""

_STALL_SECONDS = 60.0
"""How long a client may leave a request unfinished, or a response unread, or stay after its last response."""

_IDLE_SECONDS = 3600.0
"""How long a client may keep a connection without a request."""


class Door(Host):
    """A place where clients come in.

    Args:
        loop: the event loop.
        tls: the files for TLS, or None for plain text.

    Attributes:
        loop: the same.
        http: what serves HTTP, or None.
        rpc: what serves gRPC, or None.
        retiring: whether connections close after what is being answered.
        port: where it listens.
        guests: the connections behind it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: TlsFiles | None) -> None:
        self.loop = loop
        self.tls = tls
        self.http: HttpTransport | None = None
        self.rpc: RpcTransport | None = None
        self.retiring = False
        self.port = 0
        self._context: ssl.SSLContext | None = None
        self._listener: asyncio.Server
        self.guests: set[Guest] = set()
        self._most = most_guests()
        self._crowded = False
        self._unsent: list[Guest] = []
        self._emptied = asyncio.Event()
        self._round: asyncio.TimerHandle
        self._closed: asyncio.Task[None] | None = None

    async def listen(self, address: str, port: int, *, reuse_port: bool) -> None:
        """Accept connections.

        Raises:
            OSError: the address is taken, or not of this machine.
        """
        self._context = self.tls.context(()) if self.tls else None
        self._offer_protocols()
        self._listener = await self.loop.create_server(
            self._receive,
            address,
            port,
            reuse_port=reuse_port or None,
            backlog=_BACKLOG,
        )
        self.port = int(self._listener.sockets[0].getsockname()[1])
        self._round = self.loop.call_later(_ROUND_SECONDS, self._look_after)

    def _receive(self) -> Arrival | Handshake:
        """Give the protocol of a connection that comes in."""
        return Arrival(self) if self._context is None else Handshake(self, self._context)

    def admit(self, http: HttpTransport | None = None, rpc: RpcTransport | None = None) -> None:
        """Serve a protocol, or one more."""
        self.http = http or self.http
        self.rpc = rpc or self.rpc
        self._offer_protocols()

    def _offer_protocols(self) -> None:
        if self._context is not None:
            self._context.set_alpn_protocols(["h2", "http/1.1"] if self.http else ["h2"])

    async def close(self, grace_seconds: float) -> None:
        """Close; connections end as they come to be idle, or after the grace. All who call this wait for the same end."""
        if self._closed is None:
            self._closed = self.loop.create_task(self._close(grace_seconds))
        await asyncio.shield(self._closed)

    async def _close(self, grace_seconds: float) -> None:
        self._listener.close()
        self._round.cancel()
        self.retiring = True
        self._let_go()
        await asyncio.sleep(0)  # connections that were accepted in this turn are known only in the next
        self._let_go()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._wait_empty()
        for guest in list(self.guests):
            guest.abort()
        await self._wait_empty()
        await self._listener.wait_closed()

    # -- what connections tell

    def opened(self, guest: Guest) -> None:
        """Know a connection."""
        self.guests.add(guest)
        if self.retiring:  # it had yet to agree on TLS, say, when the others were told
            self.loop.call_soon(guest.leave)
        if len(self.guests) > self._most and not self._crowded:
            self._crowded = True
            self.loop.call_soon(self._make_room, guest)

    def _make_room(self, guest: Guest) -> None:
        self._crowded = False
        for leaving in whoever_leaves(self.guests, guest):
            leaving.abort()

    def lost(self, guest: Guest) -> None:
        """Forget a connection."""
        self.guests.discard(guest)
        if not self.guests:
            self._emptied.set()

    def send_later(self, guest: Guest) -> None:
        """Have a connection send at the end of this turn of the loop."""
        if not self._unsent:
            self.loop.call_soon(self._send)
        self._unsent.append(guest)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for guest in unsent:
            guest.send()

    # -- looking after them

    def _look_after(self) -> None:
        self._round = self.loop.call_later(_ROUND_SECONDS, self._look_after)
        now = self.loop.time()
        for guest in list(self.guests):
            guest.look()
            quiet = now - guest.touched
            if guest.stalled and quiet > _STALL_SECONDS:
                guest.abort()
            elif guest.idle and quiet > _IDLE_SECONDS:
                guest.leave()

    def _let_go(self) -> None:
        for guest in list(self.guests):
            guest.leave()

    async def _wait_empty(self) -> None:
        while self.guests:
            self._emptied.clear()
            await self._emptied.wait()


_doors: WeakValueDictionary[tuple[int, str, int], Door] = WeakValueDictionary()
"""The doors that are open, by their loop and place."""


async def open_door(
    address: str,
    port: int,
    *,
    reuse_port: bool,
    tls: TlsFiles | None,
    http: HttpTransport | None = None,
    rpc: RpcTransport | None = None,
) -> Door:
    """Open a door for a protocol, or have the other protocol's door at that place serve it, too.

    Raises:
        OSError: the address is taken, or not of this machine, or the other protocol's TLS is another one.
    """
    loop = asyncio.get_running_loop()
    door = _doors.get((id(loop), address, port))
    if (
        port
        and door is not None
        and not door.retiring
        and (door.http is None or http is None)
        and (door.rpc is None or rpc is None)
    ):
        if door.tls != tls:
            raise OSError(f"HTTP and gRPC share {address}:{port}, so that they need the same files for TLS, or none")
        door.admit(http, rpc)
        return door
    door = Door(loop, tls)
    door.admit(http, rpc)
    await door.listen(address, port, reuse_port=reuse_port)
    _doors[id(loop), address, door.port] = door
    return door

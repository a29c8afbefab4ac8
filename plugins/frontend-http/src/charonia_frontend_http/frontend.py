"""The HTTP frontend: its options and its life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.frontend import Frontend, network_place
from charonia.frontend_offer import read_lines, read_port
from charonia.header_forwarding import HeaderForwarding
from charonia.restricted_access import read_restrictions
from charonia.tls import read_tls
from charonia.transport import STANDARD, HttpLimits, choose_transport

from charonia_frontend_http.application import HttpApplication
from charonia_frontend_http.cross_origin import CrossOrigin, read_origins
from charonia_frontend_http.restricted_api import RestrictedApi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from charonia.frontend_offer import OptionValue
    from charonia.server import Server
    from charonia.transport import HttpTransport

__all__ = ["HttpFrontend"]


class HttpFrontend(Frontend):
    """HTTP/REST, on aiohttp or on the transport that the server's options name.

    Raises:
        CharoniaError: an option has a value that cannot be; told before any frontend listens.
    """

    _transport: HttpTransport | None = None

    def __init__(self, server: Server, options: Mapping[str, OptionValue]) -> None:
        super().__init__(server, options)
        self._port = read_port(options, "http-port")
        self._tls = read_tls(options, "http") if self.enabled else None
        self._transport_class = _transport_class(server) if self.enabled else None
        self._origins = read_origins(str(options["http-cors-allow-origin"]))
        self._restrictions = read_restrictions(read_lines(options, "http-restricted-api"), "--http-restricted-api")
        pattern = str(options["http-header-forward-pattern"])
        self._forwarding = HeaderForwarding(pattern, "--http-header-forward-pattern") if pattern else None

    @classmethod
    def event_loop(cls) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """Ask for uvloop, where it runs."""
        try:
            import uvloop
        except ImportError:
            return None
        return uvloop.new_event_loop

    @property
    def enabled(self) -> bool:
        """Whether `--allow-http` is on."""
        return bool(self.options["allow-http"])

    async def start(self) -> Sequence[str]:
        """Listen at `--http-address` and `--http-port`."""
        if self._transport_class is None:
            return []
        options = self.options
        mailbox = self.server.mailboxes.of(asyncio.get_running_loop())
        handle = HttpApplication(
            self.server,
            mailbox,
            int(options["http-max-input-size"]),
            self._forwarding,
            timing=bool(options["http-server-timing"]),
        ).handle
        if self._restrictions:
            handle = RestrictedApi(handle, self._restrictions).handle
        if self._origins:  # outermost, since a browser asks for permission without any key
            handle = CrossOrigin(handle, self._origins).handle
        limits = HttpLimits(int(options["http-max-header-size"]), int(options["http-max-body-size"]))
        self._transport = self._transport_class(handle, limits)
        address = str(options["http-address"])
        port = await self._transport.listen(
            address, self._port, reuse_port=bool(options["reuse-http-port"]), tls=self._tls
        )
        return [f"{'https' if self._tls else 'http'}://{network_place(address, port)}"]

    async def stop(self, grace_seconds: float) -> None:
        """Close the door, let requests in progress finish, and close the connections."""
        if self._transport is not None:
            await self._transport.close(grace_seconds)
            self._transport = None


def _transport_class(server: Server) -> type[HttpTransport]:
    plugins = server.plugins
    name = choose_transport(server.options.transport, plugins.names("transport"), plugins.names("rpc_transport"))
    if name != STANDARD:
        return plugins.transport(name)
    from charonia_frontend_http.aiohttp_transport import AiohttpTransport

    return AiohttpTransport

"""The gRPC frontend: its options and its life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.frontend import Frontend, network_place
from charonia.frontend_offer import read_lines, read_port
from charonia.header_forwarding import HeaderForwarding
from charonia.restricted_access import read_restrictions
from charonia.tls import read_tls
from charonia.transport import STANDARD, choose_transport

from charonia_frontend_grpc.application import GrpcApplication
from charonia_frontend_grpc.methods import rpc_application
from charonia_frontend_grpc.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.frontend_offer import OptionValue
    from charonia.server import Server
    from charonia.transport import RpcTransport

__all__ = ["GrpcFrontend"]


class GrpcFrontend(Frontend):
    """gRPC, on grpcio or on the transport that the server's options name.

    Raises:
        CharoniaError: an option has a value that cannot be; told before any frontend listens.
    """

    _transport: RpcTransport | None = None

    def __init__(self, server: Server, options: Mapping[str, OptionValue]) -> None:
        super().__init__(server, options)
        self._settings = read_settings(options) if self.enabled else None
        self._port = read_port(options, "grpc-port")
        self._tls = read_tls(options, "grpc") if self.enabled else None
        self._transport_class = _transport_class(server) if self.enabled else None
        restricted = read_lines(options, "grpc-restricted-protocol")
        self._restrictions = read_restrictions(restricted, "--grpc-restricted-protocol")
        pattern = str(options["grpc-header-forward-pattern"])
        self._forwarding = HeaderForwarding(pattern, "--grpc-header-forward-pattern") if pattern else None

    @property
    def enabled(self) -> bool:
        """Whether `--allow-grpc` is on."""
        return bool(self.options["allow-grpc"])

    async def start(self) -> Sequence[str]:
        """Listen at `--grpc-address` and `--grpc-port`."""
        if self._settings is None or self._transport_class is None:
            return []
        mailbox = self.server.mailboxes.of(asyncio.get_running_loop())
        application = GrpcApplication(self.server, mailbox, self._restrictions, self._forwarding)
        self._transport = self._transport_class(rpc_application(application), self._settings)
        address = str(self.options["grpc-address"])
        port = await self._transport.listen(
            address, self._port, reuse_port=bool(self.options["reuse-grpc-port"]), tls=self._tls
        )
        return [f"{'grpcs' if self._tls else 'grpc'}://{network_place(address, port)}"]

    async def stop(self, grace_seconds: float) -> None:
        """Close the door, let calls in progress finish, and close the connections."""
        if self._transport is not None:
            await self._transport.close(grace_seconds)
            self._transport = None


def _transport_class(server: Server) -> type[RpcTransport]:
    plugins = server.plugins
    name = choose_transport(server.options.transport, plugins.names("rpc_transport"), plugins.names("transport"))
    if name != STANDARD:
        return plugins.rpc_transport(name)
    from charonia_frontend_grpc.grpcio_transport import GrpcioTransport

    return GrpcioTransport

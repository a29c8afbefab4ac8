"""The gRPC frontend: its options and its life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.frontend import Frontend
from charonia.header_forwarding import HeaderForwarding
from charonia.restricted_access import read_restrictions

from charonia_frontend_grpc.application import GrpcApplication
from charonia_frontend_grpc.grpcio_transport import GrpcioTransport
from charonia_frontend_grpc.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.frontend import OptionValue
    from charonia.server import Server

__all__ = ["GrpcFrontend"]


class GrpcFrontend(Frontend):
    """gRPC on grpcio's asyncio server.

    Raises:
        CharoniaError: an option has a value that cannot be; told before any frontend listens.
    """

    _transport: GrpcioTransport | None = None

    def __init__(self, server: Server, options: Mapping[str, OptionValue]) -> None:
        super().__init__(server, options)
        self._settings = read_settings(options) if self.enabled else None
        told = str(options["grpc-restricted-protocol"])
        self._restrictions = read_restrictions(told.split("\n") if told else (), "--grpc-restricted-protocol")
        pattern = str(options["grpc-header-forward-pattern"])
        self._forwarding = HeaderForwarding(pattern, "--grpc-header-forward-pattern") if pattern else None

    @property
    def enabled(self) -> bool:
        """Whether `--allow-grpc` is on."""
        return bool(self.options["allow-grpc"])

    async def start(self) -> Sequence[str]:
        """Listen at `--grpc-address` and `--grpc-port`."""
        settings = self._settings or read_settings(self.options)
        mailbox = self.server.mailboxes.of(asyncio.get_running_loop())
        application = GrpcApplication(
            self.server, mailbox, settings.max_message_size, self._restrictions, self._forwarding
        )
        self._transport = GrpcioTransport(application, settings)
        port = await self._transport.listen()
        host = f"[{settings.address}]" if ":" in settings.address else settings.address
        return [f"grpc://{host}:{port}" if settings.tls is None else f"grpcs://{host}:{port}"]

    async def stop(self, grace_seconds: float) -> None:
        """Close the door, let calls in progress finish, and close the connections."""
        if self._transport is not None:
            await self._transport.close(grace_seconds)
            self._transport = None

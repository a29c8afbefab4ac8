"""The lean transport for gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.transport import RpcTransport

from charonia_transport_lean.door import open_door

if TYPE_CHECKING:
    from charonia.rpc import RpcApplication
    from charonia.tls import TlsFiles
    from charonia.transport import RpcSettings

    from charonia_transport_lean.door import Door

__all__ = ["LeanRpcTransport"]


class LeanRpcTransport(RpcTransport):
    """gRPC over HTTP/2 with little between the socket and the application."""

    def __init__(self, application: RpcApplication, settings: RpcSettings) -> None:
        super().__init__(application, settings)
        self.door: Door | None = None

    async def listen(self, address: str, port: int, *, reuse_port: bool, tls: TlsFiles | None = None) -> int:
        """Accept connections, on a door of its own or on the one that HTTP has at the same place."""
        self.door = await open_door(address, port, reuse_port=reuse_port, tls=tls, rpc=self)
        return self.door.port

    async def close(self, grace_seconds: float) -> None:
        """Close the door; connections end as they come to be idle, or after the grace."""
        if self.door is not None:
            await self.door.close(grace_seconds)

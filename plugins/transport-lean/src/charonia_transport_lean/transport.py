"""The lean transport for HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.transport import HttpTransport

from charonia_transport_lean.door import open_door

if TYPE_CHECKING:
    from charonia.tls import TlsFiles
    from charonia.transport import HttpHandler, HttpLimits

    from charonia_transport_lean.door import Door

__all__ = ["LeanTransport"]


class LeanTransport(HttpTransport):
    """HTTP/1.1 and HTTP/2 with little between the socket and the application."""

    def __init__(self, handle: HttpHandler, limits: HttpLimits) -> None:
        super().__init__(handle, limits)
        self.door: Door | None = None

    async def listen(self, address: str, port: int, *, reuse_port: bool, tls: TlsFiles | None = None) -> int:
        """Accept connections, on a door of its own or on the one that gRPC has at the same place."""
        self.door = await open_door(address, port, reuse_port=reuse_port, tls=tls, http=self)
        return self.door.port

    async def close(self, grace_seconds: float) -> None:
        """Close the door; connections end as they come to be idle, or after the grace."""
        if self.door is not None:
            await self.door.close(grace_seconds)

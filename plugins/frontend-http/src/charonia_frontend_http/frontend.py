"""The HTTP frontend: its options and its life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.frontend import Frontend

from charonia_frontend_http.aiohttp_transport import AiohttpTransport, Limits
from charonia_frontend_http.application import HttpApplication

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["HttpFrontend"]


class HttpFrontend(Frontend):
    """HTTP/REST on aiohttp."""

    _transport: AiohttpTransport | None = None

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
        options = self.options
        mailbox = self.server.mailboxes.of(asyncio.get_running_loop())
        application = HttpApplication(self.server, mailbox, int(options["http-max-input-size"]))
        limits = Limits(int(options["http-max-header-size"]), int(options["http-max-body-size"]))
        self._transport = AiohttpTransport(application.handle, limits)
        port = await self._transport.listen(
            str(options["http-address"]), int(options["http-port"]), reuse_port=bool(options["reuse-http-port"])
        )
        host = str(options["http-address"])
        return [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"]

    async def stop(self, grace_seconds: float) -> None:
        """Close the door, let requests in progress finish, and close the connections."""
        if self._transport is not None:
            await self._transport.close(grace_seconds)
            self._transport = None

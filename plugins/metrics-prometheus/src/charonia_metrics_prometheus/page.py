"""A door of HTTP with one page behind it: a connection for each request, which is all that Prometheus needs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from charonia_metrics_prometheus.exposition import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["MetricsPage"]

_log = logging.getLogger("charonia.metrics_prometheus.page")

_PATH = "/metrics"
_PATIENCE_SECONDS = 10.0
_MAX_HEAD = 16_384


class MetricsPage:
    """Serves `/metrics`. Lives on an event loop.

    Args:
        render: makes the page.
    """

    def __init__(self, render: Callable[[], Awaitable[bytes]]) -> None:
        self._render = render
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def listen(self, address: str, port: int) -> int:
        """Accept connections. Gives the port.

        Raises:
            OSError: the address is taken, or not of this machine.
        """
        self._server = await asyncio.start_server(self._serve, address, port, limit=_MAX_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Close the door and all connections. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: a coroutine always runs in a task here
        self._answering.add(task)
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head))
                    await writer.drain()
        finally:
            self._answering.discard(task)
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if path.removesuffix("/") != _PATH:
            return _response(HTTPStatus.NOT_FOUND, f"the metrics are at {_PATH}\n".encode())
        if method not in {"GET", "HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD are possible\n")
        try:
            body = await self._render()
        except Exception:  # noqa: BLE001 - the border of requests: a fault of ours is told and survived
            _log.exception("failed to read the metrics")
            return _response(HTTPStatus.INTERNAL_SERVER_ERROR, b"the metrics cannot be read: the log tells why\n")
        return _response(HTTPStatus.OK, body, with_body=method == "GET")


def _response(status: HTTPStatus, body: bytes, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")

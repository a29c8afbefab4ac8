"""An application for HTTP/1.1, a client's reading of its answers, and a look at the server's ends of connections."""

from __future__ import annotations

import asyncio

from charonia.http_message import BodyStream, HttpResponse
from charonia.transport import HttpLimits
from charonia_transport_lean.connection import Connection

LIMITS = HttpLimits(line=4096, body=100_000_000)
GET = b"GET %b HTTP/1.1\r\nHost: here\r\n\r\n"


class Application:
    """Answers with the target and the body.

    `/wait` waits until it is let go, `/large` is large, `/stream` never ends, `/fault` and `/later-fault` raise. What has nothing to
    wait for is answered at once, but for `/large`.
    """

    def __init__(self):
        self.asked = []
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.large = 10_000_000
        self.pieces = 0

    def handle(self, request):
        self.asked.append(request.target)
        if request.target == "/fault":
            raise RuntimeError("a fault")
        if request.target == "/stream":
            return HttpResponse(200, stream=_Endless(self))
        if request.target in {"/large", "/later-fault", "/wait"}:
            return self._answer_later(request)
        return HttpResponse(200, request.target.encode() + request.body)

    async def _answer_later(self, request):
        if request.target == "/later-fault":
            await asyncio.sleep(0)
            raise RuntimeError("a later fault")
        if request.target == "/large":
            return HttpResponse(200, b"x" * self.large)
        if request.target == "/wait":
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return HttpResponse(200, request.target.encode() + request.body)


class _Endless(BodyStream):
    """A body without an end."""

    def __init__(self, application):
        self._application = application

    async def __anext__(self):
        self._application.pieces += 1
        await asyncio.sleep(0)
        return b"x" * 100_000

    def close(self):
        self._application.cancelled.set()


def connections(transport):
    """Give the server's ends of the connections whose first bytes have come."""
    return [guest for guest in transport.door.guests if isinstance(guest, Connection)]


async def until(come):
    """Let the loop turn until something has come to be."""
    while not come():  # noqa: ASYNC110 - what is waited for is inside the transport, which tells nobody
        await asyncio.sleep(0)


async def answer(reader):
    """Read a response, as its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)

"""A connection of HTTP/1.1 as a target, with pages behind it: whatever comes, and however it is cut, it answers the same."""

from __future__ import annotations

import asyncio
import atexit
import re

from charonia.http_message import BodyStream, HttpResponse
from charonia.transport import HttpLimits
from charonia_transport_lean.connection import Connection
from charonia_transport_lean.door import Door
from charonia_transport_lean.request_reader import RequestReader
from charonia_transport_lean.transport import LeanTransport
from wire import Wire

LIMITS = HttpLimits(line=1 << 16, body=1 << 20)
LARGE = 48
"""What counts as a large body here, so that the few bytes of an input are enough for one."""

TURNS = 40
"""How often the loop turns for a byte; everything that this application does is done by then."""

_CHANGING = re.compile(rb"HTTP/1.1 100 Continue\r\n\r\n|Date: [^\r]*\r\n")
"""What depends on how the bytes are cut, or on the time."""

_loop = asyncio.new_event_loop()
atexit.register(_loop.close)


def check(data: bytes) -> None:
    """Have a connection read bytes in one piece, and in pieces whose size the first of them tells, with time between them or none.

    Raises:
        AssertionError: the answers differ, or there are more of them than requests.
        Exception: whatever else the connection should not raise.
    """
    if not data:
        return
    step, stream = data[0] % 80 + 1, data[1:]
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    whole = _loop.run_until_complete(_answer([stream], 0))
    for turns in (0, 3):
        cut = _loop.run_until_complete(_answer(pieces, turns))
        assert cut == whole, f"in pieces of {step} bytes it says {cut!r}, as a whole {whole!r}"


class _Three(BodyStream):
    """A body of three pieces."""

    def __init__(self) -> None:
        self.left = 3
        self.closed = False

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        await asyncio.sleep(0)
        return b"piece"

    def close(self) -> None:
        self.closed = True


class _Pages(LeanTransport):
    """Pages that tell what was asked: `/w…` waits a turn, `/c…` closes, `/s…` is a stream."""

    def __init__(self) -> None:
        super().__init__(self.answer, LIMITS)
        self.streams = []
        self.asked = 0

    async def answer(self, request) -> HttpResponse:
        self.asked += 1
        if request.target.startswith("/w"):
            await asyncio.sleep(0)
        if request.target.startswith("/s"):
            self.streams.append(_Three())
            return HttpResponse(200, stream=self.streams[-1])
        headers = {"Connection": "close"} if request.target.startswith("/c") else {}
        return HttpResponse(200, b"<%b>" % bytes(request.body), headers=headers)


async def _answer(pieces: list[bytes], turns: int) -> bytes:
    """Give what a connection says to bytes that come in pieces, and to its end."""
    pages = _Pages()
    connection = Connection(Door(_loop, None), pages)
    connection._reader = RequestReader(LIMITS, LARGE)
    wire = Wire()
    wire.protocol = connection
    connection.connection_made(wire)
    for piece in pieces:
        wire.feed(piece)
        for _ in range(turns):
            await asyncio.sleep(0)
    for _ in range(TURNS + sum(map(len, pieces))):
        await asyncio.sleep(0)
    connection.send()
    connection.connection_lost(None)
    await asyncio.sleep(0)
    assert all(stream.closed for stream in pages.streams)
    assert len(re.findall(rb"HTTP/1\.[01] 200", wire.written)) <= pages.asked
    return _CHANGING.sub(b"", wire.written)

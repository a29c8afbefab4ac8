"""One connection of the standard transport: what is answered where it comes in, and what has to be waited for."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from charonia.http_message import BodyStream, HttpResponse
from charonia.transport import HttpLimits
from charonia_frontend_http.connection import Connection

REQUEST = b"POST /%b HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi"


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.pieces = []
        self.closing = False

    def write(self, data):
        self.pieces.append(bytes(data))

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    def answers(self):
        """List the bodies of the responses."""
        return [piece.partition(b"\r\n\r\n")[2] for piece in self.pieces]


class Application:
    """Answers `/now` at once, and `/later` when it is told to."""

    def __init__(self):
        self.asked = []
        self.heads = []
        self.gate = asyncio.Event()
        self.taken_back = 0

    def handle(self, request):
        self.asked.append(request.target)
        self.heads.append(request.head)
        if request.target == "/stream":
            return HttpResponse(stream=Stream(self))
        return HttpResponse(body=request.target.encode()) if request.target != "/later" else self._later(request)

    async def _later(self, request):
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.taken_back += 1
            raise
        return HttpResponse(body=request.target.encode())


class Stream(BodyStream):
    """A body that is never read."""

    def __init__(self, application):
        self._application = application

    async def __anext__(self):
        await self._application.gate.wait()
        raise StopAsyncIteration

    def close(self):
        self._application.taken_back += 1


@pytest.fixture
async def connected():
    """Give an application, a connection to it that waits for its first request, and what is written there."""
    application, transport = Application(), Written()

    async def unused(_request):
        """Stand for a handler of aiohttp's."""

    server = web.Server(unused, handler_cancellation=True)
    connection = Connection(server, application.handle, HttpLimits(8190, 1 << 20), lambda: False)
    connection.connection_made(transport)
    await settle(lambda: connection.idle)
    yield application, connection, transport
    if connection.transport is not None:
        connection.connection_lost(None)
    await server.shutdown(1)


async def settle(condition):
    """Let the loop turn until something holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody would set an event
            await asyncio.sleep(0)


async def test_it_answers_in_the_callback(connected):
    """What need not be waited for is written when the callback returns, however many requests came together."""
    _, connection, transport = connected
    connection.data_received(REQUEST % b"a" + REQUEST % b"b" + REQUEST % b"c")
    assert transport.answers() == [b"/a", b"/b", b"/c"]
    assert connection.idle


async def test_answers_keep_their_order(connected):
    """A request behind one that has to wait is not begun before that is answered, and the next one is answered at once again."""
    application, connection, transport = connected
    connection.data_received(REQUEST % b"a" + REQUEST % b"later" + REQUEST % b"b")
    connection.data_received(REQUEST % b"c")
    assert transport.answers() == [b"/a"]
    assert application.asked == ["/a", "/later"]
    application.gate.set()
    await settle(lambda: connection.idle)
    assert transport.answers() == [b"/a", b"/later", b"/b", b"/c"]
    connection.data_received(REQUEST % b"d")
    assert transport.answers()[-1] == b"/d"


async def test_a_body_in_pieces_is_waited_for(connected):
    """A request whose end is missing is answered when it comes."""
    application, connection, transport = connected
    request = REQUEST % b"a"
    connection.data_received(request[:-1])
    await asyncio.sleep(0)
    assert application.asked == []
    connection.data_received(request[-1:])
    await settle(lambda: connection.idle)
    assert transport.answers() == [b"/a"]


@pytest.mark.parametrize("target", [b"later", b"stream"])
@pytest.mark.parametrize("turns", [0, 3])
async def test_a_client_that_goes_away_takes_back_what_has_begun(connected, target, turns):
    """Even if it goes before the connection's task has noticed that there is something to wait for."""
    application, connection, _ = connected
    connection.data_received(REQUEST % target)
    for _ in range(turns):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    await settle(lambda: application.taken_back == 1)


async def test_a_request_to_close_is_granted(connected):
    """The last response is written, and says so, before the connection closes."""
    _, connection, transport = connected
    connection.data_received(REQUEST.replace(b"Host", b"Connection: close\r\nHost") % b"a")
    await settle(lambda: transport.closing)
    assert transport.answers() == [b"/a"]
    assert b"Connection: close" in transport.pieces[0]


async def test_equal_heads_are_one(connected):
    """The application has to think about a head only once, as long as the client repeats it."""
    application, connection, _ = connected
    for target in (b"a", b"a", b"b", b"a"):
        connection.data_received(REQUEST % target)
    first, second, other, last = application.heads
    assert first is second
    assert last is not first
    assert [head.target for head in (first, other, last)] == ["/a", "/b", "/a"]

"""Small applications behind the transport, and a client of HTTP/2 that can break every rule."""

from __future__ import annotations

import asyncio
from collections import deque

import hpack
import http1_side
import pytest
from charonia.errors import ErrorCode, InferenceError, InvalidArgumentError
from charonia.http_message import BodyStream, HttpResponse
from charonia.rpc import RpcApplication, RpcCode, RpcStatus, RpcStream, StreamMethod, UnaryMethod
from charonia.testing.patience import PATIENCE_SECONDS
from charonia.transport import HttpLimits, KeepAlive, RpcSettings
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.farewell import FAREWELL_PING
from charonia_transport_lean.http2.frames import FrameType, Setting
from charonia_transport_lean.rpc.transport import LeanRpcTransport
from charonia_transport_lean.transport import LeanTransport

LIMITS = HttpLimits(line=4096, body=3_000_000)


CODES = {
    ErrorCode.INVALID_ARG: RpcCode.INVALID_ARGUMENT,
    ErrorCode.INTERNAL: RpcCode.INTERNAL,
    ErrorCode.UNSUPPORTED: RpcCode.UNIMPLEMENTED,
    ErrorCode.UNAVAILABLE: RpcCode.UNAVAILABLE,
}


class Calls:
    """The methods of an application for gRPC.

    `/t/Echo` gives back what it gets, `/t/Wait` does when it is let go, `/t/Fail` fails, `/t/Fault` raises what it should not,
    `/t/Fields` gives the metadata, `/t/Large` gives as many bytes as it is told, and the stream `/t/Chat` gives back each message.
    `/t/NowEcho`, `/t/NowFail` and `/t/NowFault` do what the others do without anything to wait for.
    """

    def __init__(self):
        self.go = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)
        self.cancelled = asyncio.Semaphore(0)
        self.streams = []
        methods = {"Echo": self.echo, "Wait": self.wait, "Fail": self.fail, "Fault": self.fault, "Fields": self.fields}
        methods |= {"Large": self.large, "NowEcho": self.now_echo, "NowFail": self.now_fail, "NowFault": self.now_fault}
        self.application = RpcApplication(
            {f"/t/{name}": UnaryMethod(call, compressed=True) for name, call in methods.items()}
            | {"/t/Chat": StreamMethod(self.chat, compressed=True)},
            lambda error: RpcStatus(CODES[error.code], str(error), (("hint", "7"),)),
        )

    async def echo(self, body, _metadata):
        return bytes(body)

    def now_echo(self, body, _metadata):
        return bytes(body)

    def now_fail(self, _body, _metadata):
        raise InvalidArgumentError("wrong, and ünusual: 100%")

    def now_fault(self, _body, _metadata):
        raise ZeroDivisionError("a fault")

    async def large(self, body, _metadata):
        return b"x" * int(bytes(body))

    async def fields(self, _body, metadata):
        return repr(sorted(metadata())).encode()

    async def fail(self, _body, _metadata):
        raise InvalidArgumentError("wrong, and ünusual: 100%")

    async def fault(self, _body, _metadata):
        raise ZeroDivisionError("a fault")

    async def wait(self, body, _metadata):
        self.waiting.release()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return bytes(body)

    def chat(self, _metadata):
        self.streams.append(Chat())
        return self.streams[-1]


class Chat(RpcStream):
    """Gives back what it gets. Has room while little is unread; the message `end` ends it with an error."""

    def __init__(self):
        self.answers = asyncio.Queue()
        self.received = 0
        self.refused = []
        self.room = asyncio.Event()
        self.room.set()
        self.closed = asyncio.Event()

    async def wait_for_room(self):
        await self.room.wait()

    def receive(self, body):
        self.received += 1
        self.answers.put_nowait(InvalidArgumentError("ended") if body == b"end" else bytes(body))

    def refuse(self, error):
        self.refused.append(str(error))
        self.answers.put_nowait(b"refused")

    def end(self, error=None):
        self.answers.put_nowait(error)

    async def next(self):
        answer = await self.answers.get()
        if isinstance(answer, InferenceError):
            raise answer
        return answer

    def close(self):
        self.closed.set()


class Pieces(BodyStream):
    """A body of some pieces, or one without an end."""

    def __init__(self, count):
        self.left = count
        self.given = 0
        self.closed = asyncio.Event()

    async def __anext__(self):
        if self.left == 0:
            raise StopAsyncIteration
        self.left -= 1
        self.given += 1
        await asyncio.sleep(0)
        return b"%d," % self.given if self.left >= 0 else b"x" * 10_000

    def close(self):
        self.closed.set()


class Pages:
    """An application for HTTP: it tells what was asked; `/large` is large, `/pieces` come in pieces, `/endless` never ends."""

    def __init__(self):
        self.endless = Pieces(-1)

    async def handle(self, request):
        if request.target == "/large":
            return HttpResponse(200, b"x" * 1_000_000)
        if request.target == "/pieces":
            return HttpResponse(200, stream=Pieces(3))
        if request.target == "/endless":
            return HttpResponse(200, stream=self.endless)
        if request.target == "/fault":
            raise ZeroDivisionError("a fault")
        told = f"{request.method} {request.target} {request.headers.get('host')} {len(request.body)}"
        return HttpResponse(200, told.encode(), headers={"X-Own": "yes", "Connection": "close"})


class Http2Client:
    """A client that sends what it is told to."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.settings = {}
        self.acknowledged = 0
        self.knows_farewells = True
        self._kept = {}

    def send(self, *sent):
        """Send bytes."""
        self._writer.write(b"".join(sent))

    def greet(self, **settings):
        """Send the preface, settings by their names, and a wide window for the connection."""
        wanted = {Setting[name.upper()]: value for name, value in settings.items()}
        self.send(frames.PREFACE, frames.settings(wanted), frames.window_update(0, 1 << 28))

    def head(self, stream, path, *fields, end=False, method="POST"):
        """Write the head of a request."""
        common = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "here")]
        block = self.encoder.encode([*common, *fields])
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        return frames.frame_head(len(block), FrameType.HEADERS, flags, stream) + block

    def call(self, stream, path, *bodies, end=True, fields=()):
        """Write a call with messages."""
        kind = ("content-type", "application/grpc"), ("te", "trailers")
        data = b"".join(b"\0" + len(body).to_bytes(4, "big") + body for body in bodies)
        return self.head(stream, path, *kind, *fields) + self.data(stream, data, end=end)

    def data(self, stream, data, *, end=False):
        """Write a DATA frame, or several."""
        pieces = [data[at : at + 16_384] for at in range(0, len(data), 16_384)] or [b""]
        return b"".join(
            frames.frame_head(
                len(piece), FrameType.DATA, frames.END_STREAM if end and place == len(pieces) else 0, stream
            )
            + piece
            for place, piece in enumerate(pieces, 1)
        )

    async def frame(self):
        """Give the next frame that is not about settings or windows: its type, flags, stream and payload.

        The ping with which the server asks whether a farewell is known is answered, unless `knows_farewells` is False.
        """
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = await self._reader.readexactly(frames.HEAD_BYTES)
                word, flags, stream = frames.HEAD.unpack(head)
                payload = await self._reader.readexactly(word >> 8)
            kind = FrameType(word & 0xFF)
            if kind is FrameType.SETTINGS:
                if flags & frames.ACK:
                    self.acknowledged += 1
                else:
                    for at in range(0, len(payload), 6):
                        number = Setting(int.from_bytes(payload[at : at + 2], "big"))
                        self.settings[number] = int.from_bytes(payload[at + 2 : at + 6], "big")
            elif kind is FrameType.PING and payload == FAREWELL_PING:
                if self.knows_farewells:
                    self.send(frames.ping(payload, ack=True))
            elif kind is not FrameType.WINDOW_UPDATE:
                return kind, flags, stream, payload

    async def answer(self, stream):
        """Gather an answer: the fields of its head and of its trailers, and its data. A reset gives its code instead."""
        heads, body = [], b""
        while True:
            kind, flags, payload = await self._frame_of(stream)
            if kind is FrameType.RST_STREAM:
                return frames.ErrorCode(int.from_bytes(payload, "big"))
            if kind is FrameType.HEADERS:
                heads.append(payload)
            else:
                body += payload
            if flags & frames.END_STREAM:
                return heads, body

    async def _frame_of(self, stream):
        """Give the next frame of a stream, with fields for a payload if it is one of those; what others get meanwhile is kept."""
        while not self._kept.get(stream):
            kind, flags, number, payload = await self.frame()
            content = dict(self.decoder.decode(payload)) if kind is FrameType.HEADERS else payload
            self._kept.setdefault(number, deque()).append((kind, flags, content))
        return self._kept[stream].popleft()

    async def messages(self, stream):
        """Gather the messages of a call's answer, and its trailers."""
        heads, body = await self.answer(stream)
        found = []
        while body:
            size = int.from_bytes(body[1:5], "big")
            found.append(body[5 : 5 + size])
            body = body[5 + size :]
        return found, heads[-1]

    async def farewell(self):
        """Give the code and text with which the server ends the connection, which it does."""
        while True:
            kind, _, _, payload = await self.frame()
            if kind is FrameType.GOAWAY:
                break
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._reader.read(65_536):
                pass
        return frames.ErrorCode(int.from_bytes(payload[4:8], "big")), payload[8:].decode()

    async def ended(self):
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while await self._reader.read(65_536):
                    pass
            except ConnectionError:
                pass

    def close(self):
        """Go."""
        self._writer.close()


@pytest.fixture
async def application():
    """Give the application for HTTP/1.1."""
    return http1_side.Application()


@pytest.fixture
async def transport(application):
    """Serve it."""
    transport = LeanTransport(application.handle, http1_side.LIMITS)
    transport.port = await transport.listen("127.0.0.1", 0, reuse_port=False)
    yield transport
    await transport.close(0)


@pytest.fixture
async def calls():
    """Give the methods."""
    return Calls()


@pytest.fixture
async def pages():
    """Give the application for HTTP."""
    return Pages()


@pytest.fixture
def rpc_settings():
    """Tell how calls are carried."""
    return RpcSettings(max_message_size=2_000_000, keep_alive=KeepAlive(max_ping_strikes=0))


@pytest.fixture
async def rpc(calls, rpc_settings):
    """Serve gRPC."""
    transport = LeanRpcTransport(calls.application, rpc_settings)
    transport.port = await transport.listen("127.0.0.1", 0, reuse_port=False)
    yield transport
    await transport.close(0)


@pytest.fixture
async def both(rpc, pages):
    """Serve HTTP at the place where gRPC is served."""
    transport = LeanTransport(pages.handle, LIMITS)
    transport.port = await transport.listen("127.0.0.1", rpc.port, reuse_port=False)
    yield transport
    await transport.close(0)


@pytest.fixture
async def connect():
    """Connect to a port, and close at the end."""
    clients = []

    async def to(port, context=None, **settings):
        tls = {"ssl": context, "server_hostname": "localhost"} if context else {}
        client = Http2Client(*await asyncio.open_connection("127.0.0.1", port, **tls))
        clients.append(client)
        client.greet(**settings)
        return client

    yield to
    for client in clients:
        client.close()


@pytest.fixture
async def client(rpc, connect):
    """Connect to gRPC."""
    return await connect(rpc.port)

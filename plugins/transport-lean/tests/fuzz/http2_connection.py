"""A connection of HTTP/2 as a target, with calls and pages behind it: whatever comes, and however it is cut, it says the same."""

from __future__ import annotations

import asyncio
import atexit

from charonia.http_message import HttpResponse
from charonia.rpc import RpcApplication, RpcCode, RpcStatus, RpcStream, StreamMethod, UnaryMethod
from charonia.transport import HttpLimits, KeepAlive, RpcSettings
from charonia_transport_lean.door import Door
from charonia_transport_lean.http2.connection import Http2Connection
from charonia_transport_lean.http2.frames import HEAD, HEAD_BYTES, MAX_STREAM, PREFACE, FrameType, frame_head, settings
from charonia_transport_lean.routes import route
from charonia_transport_lean.rpc.transport import LeanRpcTransport
from charonia_transport_lean.transport import LeanTransport
from wire import Wire

TURNS = 20
"""How often the loop turns after the last byte; everything that these applications do is done by then."""

_loop = asyncio.new_event_loop()
atexit.register(_loop.close)


def check(data: bytes) -> None:
    """Have a connection read bytes in one piece, and in pieces whose size the first of them tells.

    If the highest bit of the first byte is set, the bytes after it are frames as `_frames` has them, so that lengths are right; if
    the second one is, they come without the settings that have to be before them.

    Raises:
        AssertionError: the two differ, or what the connection says is not HTTP/2.
        Exception: whatever else the connection should not raise.
    """
    if not data:
        return
    step, stream = data[0] % 64 + 1, data[1:]
    start = PREFACE if data[0] & 0x40 else PREFACE + settings({})
    sent = start + (_frames(stream) if data[0] & 0x80 else stream)
    whole = _loop.run_until_complete(_answer([sent]))
    cut = _loop.run_until_complete(_answer([sent[at : at + step] for at in range(0, len(sent), step)]))
    assert cut == whole, f"in pieces of {step} bytes it says {cut!r}, as a whole {whole!r}"


def _frames(data: bytes) -> bytes:
    """Make frames of bytes: type, flags, stream and length in a byte each, and a payload, which may be shorter."""
    made, at = [], 0
    while at + 4 <= len(data):
        kind, flags, stream, length = data[at : at + 4]
        payload = data[at + 4 : at + 4 + length]
        made.append(frame_head(len(payload), kind % 11, flags, stream) + payload)
        at += 4 + length
    return b"".join(made)


class _Chat(RpcStream):
    """Gives back each message."""

    def __init__(self, _metadata) -> None:
        self._answers: asyncio.Queue = asyncio.Queue()

    async def wait_for_room(self) -> None:
        pass

    def receive(self, body) -> None:
        self._answers.put_nowait(bytes(body))

    def refuse(self, error) -> None:
        self._answers.put_nowait(str(error).encode())

    def end(self, error=None) -> None:
        self._answers.put_nowait(None)

    async def next(self):
        return await self._answers.get()

    def close(self) -> None:
        self._answers.put_nowait(None)


async def _echo(body, _metadata) -> bytes:
    return bytes(body)


async def _wait(body, _metadata) -> bytes:
    await asyncio.sleep(0)
    return bytes(body)


async def _page(request) -> HttpResponse:
    return HttpResponse(200, f"{request.method} {request.target} {len(request.body)}".encode())


_APPLICATION = RpcApplication(
    {"/t/E": UnaryMethod(_echo, compressed=True), "/t/W": UnaryMethod(_wait), "/t/C": StreamMethod(_Chat)},
    lambda error: RpcStatus(RpcCode.UNKNOWN, str(error)),
)


async def _answer(pieces: list[bytes]) -> bytes:
    """Give what a connection says to bytes that come in pieces, and to its end."""
    door = Door(_loop, None)
    carried = RpcSettings("low", 1000, KeepAlive(time_ms=0))
    door.admit(LeanTransport(_page, HttpLimits(100, 1000)), LeanRpcTransport(_APPLICATION, carried))
    connection = Http2Connection(door, lambda head: route(door, head), carried.keep_alive)
    wire = Wire()
    connection.connection_made(wire)
    for piece in pieces:
        connection.feed(piece)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    outflow = connection.outflow
    assert outflow.unsent_bytes == sum(stream.unsent_bytes for stream in connection.streams.values()) >= 0
    connection.send()
    connection.connection_lost(None)
    assert outflow.unsent_bytes == 0, "the end forgets what was not sent"
    for _ in range(TURNS):
        await asyncio.sleep(0)
    _check_frames(wire.written)
    return wire.written


def _check_frames(written: bytes) -> None:
    at, ended = 0, set()
    while at < len(written):
        word, flags, stream = HEAD.unpack_from(written, at)
        kind = FrameType(word & 0xFF)
        at += HEAD_BYTES + (word >> 8)
        assert stream <= MAX_STREAM
        if kind in {FrameType.DATA, FrameType.HEADERS}:
            assert stream not in ended, "a stream goes on after its end"
            if flags & 1:
                ended.add(stream)
    assert at == len(written), "a frame is cut off"

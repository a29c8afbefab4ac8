"""Clients that send a request each at one stroke, and then wait until all of them have their answers.

So a server's work for them has a beginning and an end, at which it rests, and the next twenty requests come to it as the last
twenty did. Where every client sends its next request as soon as it can, a server finds now one of them and now all, which makes
more of a difference to it than what is to be measured.
"""

from __future__ import annotations

import itertools
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, Self

from benchmarks.grpc_wire import MODEL_INFER, grpc_request
from benchmarks.latency import LoadError
from benchmarks.models import MODELS
from benchmarks.wire import http_request, is_whole

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.ways import Way

__all__ = ["ClientsInStep"]

_PATIENCE_SECONDS = 30.0
_RECEIVED_AT_ONCE = 1 << 16

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME = struct.Struct("!HBBBL")  # 24 bits of length in two parts, type, flags, stream
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0x0, 0x1, 0x4, 0x6, 0x8
_REFUSALS = {0x3: "RST_STREAM", 0x7: "GOAWAY"}
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_ROOM = (1 << 31) - 1 - 65_535
"""How much more than it may anyway the server may send over a connection, which is more than it ever does."""


class _Client(Protocol):
    """One client and its connection."""

    def send(self) -> None:
        """Send a request."""
        ...

    def receive(self) -> None:
        """Wait for its answer. Raises LoadError if that is none."""
        ...


class ClientsInStep:
    """Clients with a connection each, which the end of the block closes.

    Args:
        way: how the requests are sent; over HTTP, or as calls over gRPC.
        port: where the server listens on 127.0.0.1.
        model: the model to ask, whose tensors are small.
        count: how many clients.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, way: Way, port: int, model: str, count: int) -> None:
        kind = _GrpcClient if way.protocol == "grpc" else _HttpClient
        self._clients: list[_Client] = []
        with ExitStack() as connections:
            for _ in range(count):
                address = ("127.0.0.1", port)
                connection = connections.enter_context(socket.create_connection(address, _PATIENCE_SECONDS))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients.append(kind(connection, model))
            self._connections = connections.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connections.close()

    def step(self, times: int = 1) -> None:
        """Have each client send a request and get its answer, so many times.

        Raises:
            LoadError: a request failed, or has had no answer for half a minute.
        """
        try:
            for _ in range(times):
                for client in self._clients:
                    client.send()
                for client in self._clients:
                    client.receive()
        except OSError as error:
            raise LoadError(f"a connection to the server broke off: {error!r}") from error


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(_RECEIVED_AT_ONCE)
    if not data:
        raise LoadError("the server closed a connection")
    return data


class _HttpClient:
    def __init__(self, connection: socket.socket, model: str) -> None:
        self._connection = connection
        self._request = http_request(MODELS[model])

    def send(self) -> None:
        self._connection.sendall(self._request)

    def receive(self) -> None:
        received = _receive(self._connection)
        while not is_whole(received):
            received += _receive(self._connection)
        if not received.startswith(b"HTTP/1.1 200"):
            raise LoadError(f"the server answered {received[:300]!r}")


class _GrpcClient:
    """What it takes of HTTP/2 to make one call after the other; the header fields are spelt out once, as gRPC's clients do."""

    def __init__(self, connection: socket.socket, model: str) -> None:
        self._connection = connection
        message = grpc_request(model)
        self._body = b"\0" + len(message).to_bytes(4, "big") + message
        self._least = MODELS[model].answer_size
        fields = {":path": MODEL_INFER, ":authority": "127.0.0.1", "content-type": "application/grpc", "te": "trailers"}
        known = b"\x83\x86"  # :method POST, :scheme http
        spelt = b"".join(b"\x40" + _text(name) + _text(value) for name, value in fields.items())
        places = bytes(0x80 | place for place in range(61 + len(fields), 61, -1))  # where the server keeps them
        self._heads = itertools.chain([known + spelt], itertools.repeat(known + places))
        self._streams = itertools.count(1, 2)
        self._stream = 0
        self._received = b""
        room = _frame(_WINDOW_UPDATE, 0, 0, _ROOM.to_bytes(4, "big"))
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + room)

    def send(self) -> None:
        self._stream = next(self._streams)
        head = _frame(_HEADERS, _END_HEADERS, self._stream, next(self._heads))
        self._connection.sendall(head + _frame(_DATA, _END_STREAM, self._stream, self._body))

    def receive(self) -> None:
        came, ended = 0, False
        while not ended:
            kind, flags, payload = self._next_frame()
            if kind in _REFUSALS:
                raise LoadError(f"the server sent {_REFUSALS[kind]} {payload!r}")
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._connection.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
            came += len(payload) if kind == _DATA else 0
            ended = kind in (_DATA, _HEADERS) and bool(flags & _END_STREAM)
        if came < self._least:  # a refusal has no message
            raise LoadError(f"the server answered a call with {came} bytes, where its tensor alone has {self._least}")

    def _next_frame(self) -> tuple[int, int, bytes]:
        """Take a frame out of what came, and wait for more as long as it is not whole: its type, its flags, its payload."""
        head = _FRAME.size
        while len(self._received) < head or len(self._received) < head + _length(self._received):
            self._received += _receive(self._connection)
        _, _, kind, flags, _ = _FRAME.unpack_from(self._received)
        end = head + _length(self._received)
        payload, self._received = self._received[head:end], self._received[end:]
        return kind, flags, payload


def _length(frame: bytes) -> int:
    return int.from_bytes(frame[:3], "big")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()

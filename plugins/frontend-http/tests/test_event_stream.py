"""Streams of events over a raw socket: their framing, slow readers, clients that go away, and a server that stops."""

from __future__ import annotations

import json

import charonia_frontend_http
import numpy as np
import pytest
from charonia import Server
from charonia.plugins import Plugins
from charonia.request import InferenceResponse
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from held_backend import HeldBackend, HeldPlugin

LARGE = 1 << 20


@pytest.fixture
def running(model_repository):
    """A server with a decoupled model whose requests the test answers."""
    tensors = {"inputs": [("TEXT", "BYTES", [1])], "outputs": [("OUT", "BYTES", [1])]}
    write_model(model_repository, model_config("tokens", backend="held", max_batch_size=0, decoupled=True, **tensors))
    plugins = Plugins(entry_points=(), extra=[HeldPlugin(), ArithmeticPlugin(), charonia_frontend_http])
    with Server(model_repository, plugins=plugins) as server:
        yield server


def ask(connection, *, version="HTTP/1.1", fields=()):
    """Ask for a stream, and give the request that the model got."""
    body = b'{"TEXT":"x"}'
    lines = [f"POST /v2/models/tokens/generate_stream {version}", "Host: here", f"Content-Length: {len(body)}", *fields]
    connection.send("\r\n".join([*lines, "", ""]).encode() + body)
    return HeldBackend.taken.get(timeout=30)


def token(text, *, final=False):
    """A response of one output."""
    return InferenceResponse({"OUT": np.array([text], object)}, final=final)


def head(connection):
    """Read the head of a response."""
    start, headers, _ = connection.response(has_body=False)
    return start, headers


def said(event):
    """Give the output in an event."""
    return json.loads(event.removeprefix(b"data: "))["OUT"]


def test_each_event_is_a_chunk_of_its_own(serve, connect):
    """A client reads an event as soon as it is made, and the connection is there for the next request after the last one."""
    connection = connect(serve())
    for _ in range(2):
        request = ask(connection)
        request.respond(token(b"0"))
        start, headers = head(connection)
        assert start == "HTTP/1.1 200 OK"
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["transfer-encoding"] == "chunked"
        assert "content-length" not in headers
        assert said(connection.chunk()) == "0"
        request.respond(token(b"1"))
        assert said(connection.chunk()) == "1"
        request.respond(token(b"2", final=True))
        assert said(connection.chunk()) == "2"
        assert connection.chunk() == b""


def test_older_clients_get_no_chunks(serve, connect):
    """A client of HTTP/1.0 reads events up to the end of the connection."""
    connection = connect(serve())
    request = ask(connection, version="HTTP/1.0", fields=["Connection: keep-alive"])
    request.respond(token(b"0", final=True))
    start, headers = head(connection)
    assert start == "HTTP/1.0 200 OK"
    assert headers["connection"] == "close"
    assert "transfer-encoding" not in headers
    assert said(connection.rest().rstrip()) == "0"


def test_client_can_ask_to_close(serve, connect):
    """The connection closes after the stream where the client wishes it."""
    connection = connect(serve())
    request = ask(connection, fields=["Connection: close"])
    request.respond(token(b"0", final=True))
    assert head(connection)[1]["connection"] == "close"
    assert said(connection.chunk()) == "0"
    assert connection.chunk() == b""
    assert connection.ended()


@pytest.mark.parametrize("count", [0, 1])
def test_client_that_goes_away_takes_its_request_back(serve, connect, count):
    """A request is cancelled when its client closes the connection, before the first event or after it."""
    port = serve()
    leaving = connect(port)
    request = ask(leaving)
    for _ in range(count):
        request.respond(token(b"0"))
        head(leaving)
        leaving.chunk()
    leaving.close()
    other = connect(port)
    other.send(b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n")
    other.response()  # the loop has seen the other one's end when this is answered
    assert request.cancelled
    request.respond(InferenceResponse())


def test_slow_reader_holds_up_nobody_else(serve, connect):
    """A client that does not read is waited for, without a limit on time, while others are answered; nothing is lost."""
    port = serve()
    slow = connect(port)
    request = ask(slow)
    texts = [bytes([ord("a") + number]) * LARGE for number in range(16)]
    for text in texts:
        request.respond(token(text))
    request.respond(InferenceResponse())
    other = connect(port)
    for _ in range(3):
        other.send(b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n")
        assert other.response()[0] == "HTTP/1.1 200 OK"
    head(slow)
    assert [said(slow.chunk()).encode() for _ in texts] == texts
    assert slow.chunk() == b""


def test_client_that_goes_away_unread_takes_its_request_back(serve, connect):
    """A client that never read what was sent is noticed when it goes away, though the server waits for it to read."""
    port = serve()
    leaving = connect(port)
    request = ask(leaving)
    for _ in range(16):
        request.respond(token(bytes(LARGE)))
    head(leaving)
    leaving.close()
    other = connect(port)
    second = ask(other)  # the loop has seen the other one's end when this one has come to the model
    second.respond(token(b"", final=True))
    head(other)
    assert said(other.chunk()) == ""
    assert request.cancelled
    request.respond(InferenceResponse())

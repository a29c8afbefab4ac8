"""Connections over real sockets: order, back-pressure, clients that stall, faults of the application."""

from __future__ import annotations

import asyncio
import socket

import pytest
from charonia_transport_lean import door as module
from charonia_transport_lean.transport import LeanTransport
from http1_side import GET, LIMITS, answer, connections, until


@pytest.fixture
async def client(transport):
    reader, writer = await asyncio.open_connection("127.0.0.1", transport.port)
    yield reader, writer
    writer.close()


async def test_answers_keep_the_order_of_the_requests(client, application):
    """Requests behind one that waits are answered after it, in their order."""
    reader, writer = client
    writer.write(b"".join(GET % target for target in (b"/wait", b"/a", b"/b")))
    await until(lambda: application.asked)
    application.go.set()
    assert [await answer(reader) for _ in range(3)] == [b"/wait", b"/a", b"/b"]


async def test_requests_behind_one_that_waits_are_bounded(client, application, transport):
    """A client that sends on and on while it is not answered is not read any more; nothing of it is lost."""
    reader, writer = client
    writer.write(GET % b"/wait")
    count = 200_000
    writer.write(GET % b"/next" * count)
    await until(lambda: any(connection._full for connection in connections(transport)))
    assert len(application.asked) == 1
    application.go.set()
    assert await answer(reader) == b"/wait"
    for _ in range(count):
        assert await answer(reader) == b"/next"


async def test_slow_reader_holds_up_only_itself(client, application, transport):
    """While a client does not read, its further requests are not begun, and others are served."""
    reader, writer = client
    writer.write(GET % b"/large" * 20)
    await until(lambda: any(connection._room for connection in connections(transport)))
    asked = len(application.asked)
    other_reader, other = await asyncio.open_connection("127.0.0.1", transport.port)
    other.write(GET % b"/other")
    assert await answer(other_reader) == b"/other"
    other.close()
    assert len(application.asked) == asked + 1
    for _ in range(20):
        assert len(await answer(reader)) == 10_000_000


async def test_stream_is_made_as_fast_as_it_is_read(client, application, transport):
    """A body without an end waits for its reader, and ends when the client goes."""
    _reader, writer = client
    writer.write(GET % b"/stream")
    await until(lambda: any(connection._room for connection in connections(transport)))
    made = application.pieces
    for _ in range(100):
        await asyncio.sleep(0)
    assert application.pieces == made
    writer.close()
    await asyncio.wait_for(application.cancelled.wait(), 30)


async def test_client_that_goes_cancels_its_request(client, application):
    """The application learns that its client has gone."""
    _, writer = client
    writer.write(GET % b"/wait")
    await until(lambda: application.asked)
    writer.close()
    await asyncio.wait_for(application.cancelled.wait(), 30)


@pytest.mark.parametrize("target", [b"/fault", b"/later-fault"])
async def test_fault_ends_the_connection_alone(client, transport, target, caplog):
    """A fault of the application ends the connection that met it, is logged, and harms no other."""
    reader, writer = client
    writer.write(GET % target)
    assert await reader.read() == b""
    other_reader, other = await asyncio.open_connection("127.0.0.1", transport.port)
    other.write(GET % b"/fine")
    assert await answer(other_reader) == b"/fine"
    other.close()
    assert "fault" in caplog.text


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nHost", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe"],
    ids=["head", "body"],
)
async def test_request_that_is_left_unfinished_is_given_up(client, transport, monkeypatch, sent):
    """A client that begins a request and does not go on is let go after a while; one that waits for its answer is not."""
    reader, writer = client
    writer.write(sent)
    _waiting_reader, waiting = await asyncio.open_connection("127.0.0.1", transport.port)
    waiting.write(GET % b"/wait")
    await until(lambda: sum(not connection.idle for connection in connections(transport)) == 2)
    monkeypatch.setattr(module, "_STALL_SECONDS", -1.0)
    transport.door._look_after()
    assert await reader.read() == b""
    assert len(connections(transport)) == 1
    waiting.close()


async def test_head_that_drips_is_given_up(client, transport, monkeypatch):
    """The clock of a head does not begin again with each byte of it."""
    reader, writer = client
    writer.write(b"GET / HT")
    await until(lambda: any(not connection.idle for connection in connections(transport)))
    touched = next(iter(connections(transport))).touched
    writer.write(b"TP/1.1\r\nHo")
    await until(lambda: next(iter(connections(transport)))._reader._wire_size == 18)
    assert next(iter(connections(transport))).touched == touched
    monkeypatch.setattr(module, "_STALL_SECONDS", -1.0)
    transport.door._look_after()
    assert await reader.read() == b""


async def test_client_that_does_not_read_is_given_up(client, transport, monkeypatch):
    """A response that nobody reads does not stay in memory for ever."""
    _, writer = client
    writer.write(GET % b"/large" * 3)
    await until(lambda: any(connection._room for connection in connections(transport)))
    monkeypatch.setattr(module, "_STALL_SECONDS", -1.0)
    transport.door._look_after()
    await until(lambda: not connections(transport))


async def test_close_is_idempotent(application):
    """A transport that does not listen, or not any more, closes without a word."""
    transport = LeanTransport(application.handle, LIMITS)
    await transport.close(0)
    port = await transport.listen("127.0.0.1", 0, reuse_port=False)
    await transport.close(0)
    await transport.close(0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)

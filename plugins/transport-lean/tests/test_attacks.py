"""Clients of HTTP/1.1 that mean harm, or are broken: what they can take, and what they cannot take from others."""

from __future__ import annotations

import asyncio
import resource

import pytest
from charonia_transport_lean import door as module
from charonia_transport_lean.crowd import most_guests
from http1_side import GET, answer, connections, until


@pytest.fixture
async def connect(transport):
    """Open connections, which are closed at the end; gives reader, writer, and the server's end."""
    writers = []

    async def start():
        before = set(transport.door.guests)
        reader, writer = await asyncio.open_connection("127.0.0.1", transport.port)
        writers.append(writer)
        await until(lambda: transport.door.guests - before)
        return reader, writer

    yield start
    for writer in writers:
        writer.close()


async def server_end(transport):
    """Give the one connection that speaks HTTP/1.1, when it does."""
    await until(lambda: connections(transport))
    (connection,) = connections(transport)
    return connection


async def test_client_that_says_nothing_is_let_go(connect, transport, monkeypatch):
    """A connection over which nothing comes at all has as long as a request's head, and no hour."""
    reader, _ = await connect()
    monkeypatch.setattr(module, "_STALL_SECONDS", -1.0)
    transport.door._look_after()
    assert await reader.read() == b""


@pytest.mark.parametrize("size", [1_000, 1_000_000], ids=["small", "large"])
async def test_body_that_drips_runs_out_of_time(connect, transport, size):
    """A byte buys a thousandth of a second: who sends a body byte by byte is let go as if nothing came."""
    _, writer = await connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % size)
    connection = await server_end(transport)
    connection.touched -= 50
    before = connection.touched
    reader = connection._reader
    for count in range(1, 6):
        writer.write(b"x")
        await until(lambda count=count: reader._size == count or (reader.large and reader.large._received == count))
    assert connection.touched == pytest.approx(before + 5 / 1024)
    assert connection.stalled


async def test_body_that_comes_on_has_time(connect, transport):
    """Who sends a large body steadily, however long it takes, is not let go."""
    _, writer = await connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n")
    connection = await server_end(transport)
    connection.touched -= 50
    writer.write(b"x" * 500_000)
    await until(lambda: connection._reader.large._received == 500_000)
    assert transport.door.loop.time() - connection.touched < 40


async def test_response_that_is_read_slowly_has_time(connect, transport, application):
    """Who reads a large response steadily, however long it takes, is not let go; who stops is."""
    application.large = 50_000_000
    reader, writer = await connect()
    writer.write(GET % b"/large")
    connection = await server_end(transport)
    await until(lambda: connection._room)
    connection.look()
    connection.touched -= 50
    late = connection.touched
    connection.look()
    assert connection.touched == late
    await reader.readexactly(20_000_000)
    await until(lambda: connection._transport.get_write_buffer_size() < 40_000_000)
    connection.look()
    assert connection.touched > late


@pytest.mark.parametrize("sent", [GET % b"/wait", (GET % b"/wait")[:20], b"GET"], ids=["request", "head", "word"])
async def test_client_that_closes_its_half_has_gone(connect, transport, application, sent):
    """Nobody can tell a closed half from a client that has gone: the connection ends, and what was asked is taken back."""
    reader, writer = await connect()
    writer.write(sent)
    if sent.endswith(b"\r\n\r\n"):
        await until(lambda: application.asked)
    writer.write_eof()
    assert await reader.read() == b""
    if application.asked:
        await asyncio.wait_for(application.cancelled.wait(), 30)
    assert not transport.door.guests


async def test_flood_of_requests_lets_others_have_their_turn(connect, transport, application):
    """Of thousands of requests that come in one piece, some are answered in each turn of the loop, and all in the end."""
    reader, writer = await connect()
    writer.write(GET % b"/first")
    assert await answer(reader) == b"/first"
    connection = await server_end(transport)
    connection.data_received(b"".join(GET % b"/%d" % number for number in range(1_000)))
    assert len(application.asked) == 65
    for number in range(1_000):
        assert await answer(reader) == b"/%d" % number


async def test_answers_that_nobody_reads_stop_the_flood(connect, transport, application):
    """A client that asks on and on, and reads nothing, is not answered any more."""
    _, writer = await connect()
    writer.write(GET % b"/large" * 1_000)
    connection = await server_end(transport)
    await until(lambda: connection._full and connection._room)
    assert len(application.asked) < 64


async def test_crowd_of_idle_clients_keeps_nobody_out(connect, transport):
    """Where there are as many connections as can be, those that have been silent longest leave for one that comes."""
    transport.door._most = 3
    silent = [await connect() for _ in range(3)]
    reader, writer = await connect()
    assert await silent[0][0].read() == b""
    writer.write(GET % b"/new")
    assert await answer(reader) == b"/new"
    assert len(transport.door.guests) == 3


async def test_crowd_of_busy_clients_is_left_in_peace(connect, transport, application):
    """Where all are busy, whoever comes last is turned away."""
    transport.door._most = 2
    for count in (1, 2):
        _, writer = await connect()
        writer.write(GET % b"/wait")
        await until(lambda count=count: len(application.asked) == count)
    reader, _ = await connect()
    assert await reader.read() == b""
    assert not application.cancelled.is_set()


def test_connections_leave_files_to_others(monkeypatch):
    """However many files the process may open, some are not for connections."""
    for files, most in [(1024, 896), (100, 36), (10, 1), (1_000_000, 875_000), (resource.RLIM_INFINITY, 917_504)]:
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, files=files: (files, files))
        assert most_guests() == most

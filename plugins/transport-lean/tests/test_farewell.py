"""Farewells of the server: no request is lost between the first word of one and the last."""

from __future__ import annotations

import asyncio

import pytest
from charonia.testing.patience import PATIENCE_SECONDS
from charonia_transport_lean import door
from charonia_transport_lean.http2 import farewell, frames
from charonia_transport_lean.http2.farewell import FAREWELL_PING
from charonia_transport_lean.http2.frames import MAX_STREAM, ErrorCode, FrameType

ECHO = "/t/Echo"


def told(last):
    """Give what a farewell says whose last stream is this one."""
    return FrameType.GOAWAY, 0, 0, last.to_bytes(4, "big") + b"\0\0\0\0"


@pytest.fixture
def answer_seconds():
    """Tell how long the server awaits what the client says to its farewell: for longer than any client here takes."""
    return PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def _patience(monkeypatch, answer_seconds):
    """Have the server be as patient as that."""
    monkeypatch.setattr(farewell, "_ANSWER_SECONDS", answer_seconds)


@pytest.fixture
async def closing(rpc, client, calls):
    """Close while a call waits and the client does not yet know; gives what ends when everything has."""
    client.knows_farewells = False
    client.send(client.call(1, "/t/Wait", b"a"))
    await calls.waiting.acquire()
    return asyncio.create_task(rpc.close(30))


async def test_requests_under_way_are_answered(client, calls, closing):
    """The first farewell names no stream; what was begun before it was known counts, and what is begun later does not."""
    assert await client.frame() == told(MAX_STREAM)
    client.send(client.call(3, ECHO, b"b"))
    assert (await client.messages(3))[0] == [b"b"]
    client.send(frames.ping(FAREWELL_PING, ack=True))
    assert await client.frame() == told(3)
    client.send(client.call(5, ECHO, b"c"), frames.ping(b"12345678", ack=False))
    assert await client.frame() == (FrameType.PING, frames.ACK, 0, b"12345678")
    calls.go.set()
    assert (await client.messages(1))[0] == [b"a"]
    await client.ended()
    await closing


@pytest.mark.parametrize("answer_seconds", [0.0])
async def test_client_that_does_not_answer_is_told_all_the_same(client, calls, closing):
    """After some time."""
    assert await client.frame() == told(MAX_STREAM)
    assert await client.frame() == told(1)
    calls.go.set()
    assert (await client.messages(1))[0] == [b"a"]
    await client.ended()
    await closing


async def test_streams_of_messages_that_begin_meanwhile_are_told_to_leave(client, calls, closing):
    """Nobody would wait for their end."""
    assert await client.frame() == told(MAX_STREAM)
    client.send(client.call(3, "/t/Chat", end=False))
    _, trailers = await client.messages(3)
    assert trailers["grpc-status"] == "14"
    calls.go.set()
    client.send(frames.ping(FAREWELL_PING, ack=True))
    await client.ended()
    await closing


async def test_answer_to_no_farewell_is_not_heard(client):
    """It ends nothing."""
    client.send(frames.ping(FAREWELL_PING, ack=True), client.call(1, ECHO, b"a"))
    assert (await client.messages(1))[0] == [b"a"]


async def test_fault_after_the_first_farewell_names_the_last_stream(client, calls, closing):
    """The end of the connection is told once more, with its reason."""
    assert await client.frame() == told(MAX_STREAM)
    client.send(frames.frame_head(4, FrameType.PUSH_PROMISE, 0, 1) + b"\0" * 4)
    assert (await client.farewell())[0] is ErrorCode.PROTOCOL_ERROR
    await calls.cancelled.acquire()
    await closing


async def test_connection_that_is_idle_for_long_ends_in_the_same_order(rpc, client, monkeypatch):
    """A request that is under way just then is answered."""
    client.knows_farewells = False
    client.send(client.call(1, ECHO, b"a"))
    await client.messages(1)
    monkeypatch.setattr(door, "_IDLE_SECONDS", -1.0)
    rpc.door._look_after()
    assert await client.frame() == told(MAX_STREAM)
    client.send(client.call(3, ECHO, b"b"), frames.ping(FAREWELL_PING, ack=True))
    assert (await client.messages(3))[0] == [b"b"]
    assert await client.frame() == told(3)
    await client.ended()

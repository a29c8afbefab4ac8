"""HTTP over HTTP/2, and one port for everything."""

from __future__ import annotations

import asyncio

import pytest
from charonia.tls import TlsFiles
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.frames import ErrorCode, FrameType
from charonia_transport_lean.transport import LeanTransport


@pytest.fixture
async def client(both, connect):
    """Connect to the port of both."""
    return await connect(both.port)


async def test_request_and_response(client):
    """Head, body, and fields of the response; those of connections stay out."""
    client.send(client.head(1, "/here?x=1"), client.data(1, b"abc", end=True))
    ((head,), body) = await client.answer(1)
    assert body == b"POST /here?x=1 here 3"
    assert head == {":status": "200", "content-type": "text/plain", "x-own": "yes", "content-length": str(len(body))}


async def test_head_has_no_body(client):
    """Its length is told."""
    client.send(client.head(1, "/large", end=True, method="HEAD"))
    ((head,), body) = await client.answer(1)
    assert (head["content-length"], body) == ("1000000", b"")


async def test_bodies_of_any_size(client):
    """Large requests whose length is told, and not, and large responses."""
    body = b"x" * 2_000_000
    client.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 1 << 24}))
    client.send(client.head(1, "/a", ("content-length", "2000000")), client.data(1, body, end=True))
    client.send(client.head(3, "/b"), client.data(3, body, end=True), client.head(5, "/large", end=True))
    assert (await client.answer(1))[1] == b"POST /a here 2000000"
    assert (await client.answer(3))[1] == b"POST /b here 2000000"
    assert len((await client.answer(5))[1]) == 1_000_000


@pytest.mark.parametrize("fields", [(), (("content-length", "3000001"),)])
async def test_too_large_bodies_are_refused(client, fields):
    """At once where the length is told, else when it is too much."""
    client.send(client.head(1, "/a", *fields))
    if not fields:
        client.send(client.data(1, b"x" * 3_000_001))
    ((head,), body) = await client.answer(1)
    assert head[":status"] == "413"
    assert b"--http-max-body-size" in body
    assert await client.frame() == (FrameType.RST_STREAM, 0, 1, b"\0\0\0\0")


async def test_responses_in_pieces(client):
    """Each is sent when it is made."""
    client.send(client.head(1, "/pieces", end=True))
    ((_,), body) = await client.answer(1)
    assert body == b"1,2,3,"


async def test_reader_who_goes_away_ends_what_is_made_for_him(client, pages):
    """And one who does not read holds it up."""
    client.send(client.head(1, "/endless", end=True))
    while pages.endless.given < 3:
        await client.frame()
    client.send(frames.reset(1, ErrorCode.CANCEL))
    await pages.endless.closed.wait()
    assert pages.endless.given < 100


async def test_fault_ends_its_stream_alone(client):
    """The next request is answered."""
    client.send(client.head(1, "/fault", end=True), client.head(3, "/b", end=True))
    assert await client.answer(1) is ErrorCode.INTERNAL_ERROR
    assert (await client.answer(3))[1] == b"POST /b here 0"


async def test_one_port_speaks_everything(both, client):
    """Calls, HTTP/2 and HTTP/1.1, by the first bytes, however they are cut."""
    client.send(client.call(1, "/t/Echo", b"a"))
    assert (await client.messages(1))[0] == [b"a"]
    for cut in (1, 4, 20):
        reader, writer = await asyncio.open_connection("127.0.0.1", both.port)
        request = b"PROPFIND /x HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        writer.write(request[:cut])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(request[cut:])
        assert b"PROPFIND /x here 0" in await reader.read()
        writer.close()


async def test_preface_may_come_in_pieces(both):
    """A client whose first packet is short is not taken for one of HTTP/1.1."""
    reader, writer = await asyncio.open_connection("127.0.0.1", both.port)
    for byte in frames.PREFACE + frames.settings({}):
        writer.write(bytes((byte,)))
        await writer.drain()
    head = await reader.readexactly(9)
    assert head[3] == FrameType.SETTINGS
    writer.close()


async def test_port_is_shared_only_with_the_other_protocol_and_the_same_tls(both, rpc, pages, calls):
    """Two of a kind, or one with TLS and one without, are told."""
    second = LeanTransport(pages.handle, both.limits)
    with pytest.raises(OSError, match="address already in use"):
        await second.listen("127.0.0.1", both.port, reuse_port=False)
    alone = LeanTransport(pages.handle, both.limits)
    port = await alone.listen("127.0.0.1", 0, reuse_port=False)
    other = type(rpc)(calls.application, rpc.settings)
    with pytest.raises(OSError, match="need the same files for TLS, or none"):
        await other.listen("127.0.0.1", port, reuse_port=False, tls=TlsFiles("a", "b"))
    await alone.close(0)


async def test_idle_arrivals_are_let_go(both):
    """A connection that says nothing ends when the door closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", both.port)
    await both.close(30)
    assert await reader.read() == b""
    writer.close()

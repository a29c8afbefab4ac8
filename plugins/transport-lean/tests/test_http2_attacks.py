"""Clients of HTTP/2 that mean harm, are broken, or are merely unusual: what they cannot take from others, or lose themselves."""

from __future__ import annotations

import asyncio
import ssl
import tracemalloc

import pytest
from charonia.testing.patience import PATIENCE_SECONDS
from charonia.transport import KeepAlive, RpcSettings
from charonia_transport_lean.http2 import connection as module
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.frame_reader import DataReceiver, FrameReader, FrameReceiver
from charonia_transport_lean.http2.frames import ErrorCode, FrameType, frame_head
from charonia_transport_lean.http2.header_blocks import HeaderDecoder
from charonia_transport_lean.rpc.transport import LeanRpcTransport

ECHO = "/t/Echo"


def frame(kind, flags=0, stream=0, payload=b""):
    """Write a frame."""
    return frame_head(len(payload), kind, flags, stream) + payload


GREETING = frames.PREFACE + frames.settings({})
GOAWAY = frame(FrameType.GOAWAY, payload=b"\0" * 8)
PING = frames.ping(b"12345678", ack=False)


async def allow(rpc, client, count):
    """Have the connection of a client take so many frames that bring nothing, and no more."""
    client.send(client.head(9, "/t/Echo", ("content-type", "application/grpc"), end=True))
    await client.answer(9)
    (guest,) = rpc.door.guests
    upkeep = guest._allowance._upkeep
    upkeep._most = upkeep._left = count
    upkeep._per_second = 0


@pytest.fixture
async def faults():
    """Gather what escapes into the event loop; nothing may."""
    found = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    yield found
    assert found == []


async def test_frames_after_a_farewell_are_not_answered(client, faults):
    """The connection has ended; what else came with the farewell is dropped."""
    client.send(GOAWAY + PING)
    await client.ended()
    assert faults == []


async def test_fault_of_a_client_takes_its_calls_back_and_nothing_from_others(rpc, client, connect, calls, faults):
    """Answers that come to be after its farewell are not written, and those of others in the same turn are."""
    other = await connect(rpc.port)
    client.send(client.call(1, "/t/Wait", b"a"))
    other.send(other.call(1, "/t/Wait", b"b"))
    await calls.waiting.acquire()
    await calls.waiting.acquire()
    client.send(frame(FrameType.PUSH_PROMISE, 0, 1, b"\0" * 4))
    kind, _, _, _ = await client.frame()
    assert kind is FrameType.GOAWAY
    await calls.cancelled.acquire()
    calls.go.set()
    assert (await other.messages(1))[0] == [b"b"]
    assert faults == []


async def test_length_of_thousands_of_digits_is_none(client, faults):
    """It ends its stream alone."""
    client.send(client.call(1, ECHO, b"a", fields=(("content-length", "9" * 5000),)), client.call(3, ECHO, b"b"))
    assert await client.answer(1) is ErrorCode.PROTOCOL_ERROR
    assert (await client.messages(3))[0] == [b"b"]
    assert faults == []


async def test_many_settings_in_a_frame_end_the_connection(client):
    """Each may mean work for every stream, and none needs so many."""
    client.send(frame(FrameType.SETTINGS, payload=b"\0\4\0\0\0\1\0\4\0\0\0\2" * 100))
    assert await client.farewell() == (ErrorCode.ENHANCE_YOUR_CALM, "too many settings in a frame")


def test_large_heads_are_not_remembered():
    """A head of thousands of fields is a few bytes on the wire, which may not become as many megabytes here."""
    decoder = HeaderDecoder(lambda fields: fields)
    blocks = [bytes([0x82]) * (1_400 + size) for size in range(64)]
    tracemalloc.start()
    try:
        for block in blocks:
            assert len(decoder.decode(block)) == len(block)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


async def test_statuses_that_nobody_reads_have_an_end(rpc, client, monkeypatch):
    """However few come in a turn of the loop, the socket holds no more than so much of them."""
    monkeypatch.setattr(module, "_MOST_UNREAD_REPLIES", 100_000)

    async def flood():
        for number in range(1, 1 << 31, 40):
            client.send(*(client.call(number + at, "/t/No", b"") for at in range(0, 40, 2)))
            await client._writer.drain()
            await asyncio.sleep(0)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(flood(), 30)
    assert not rpc.door.guests


async def test_client_that_says_farewell_gets_its_answers(client, calls):
    """It will take no streams of ours, and goes on with its own: neither calls nor streams of messages end."""
    client.send(client.call(1, "/t/Chat", b"a", end=False), client.call(3, "/t/Wait", b"c"))
    await calls.waiting.acquire()
    client.send(GOAWAY, client.data(1, b"\0\0\0\0\1b", end=True))
    assert (await client.messages(1))[0] == [b"a", b"b"]
    calls.go.set()
    assert (await client.messages(3))[0] == [b"c"]
    await client.ended()


async def test_updates_of_windows_are_no_flood_where_much_is_sent(rpc, client):
    """A client that opens both windows with each frame of a large answer gets all of it."""
    await allow(rpc, client, 200)
    client.send(client.call(11, "/t/Large", b"10000000"))
    came = 0
    while True:
        kind, flags, _, payload = await client.frame()
        if kind is FrameType.DATA:
            came += len(payload)
            client.send(frames.window_update(0, len(payload)), frames.window_update(11, len(payload)))
        if flags & frames.END_STREAM:
            break
    assert came == 10_000_005


class TestPingsOfBusyClients:
    """They measure the line while a large answer comes."""

    @pytest.fixture
    def rpc_settings(self):
        return RpcSettings(keep_alive=KeepAlive(max_ping_strikes=1))

    async def test_pings_during_an_answer_are_welcome(self, client):
        """As many as there are pieces of it."""
        client.send(client.call(1, "/t/Large", b"1000000"))
        came = 0
        while came < 1_000_005:
            kind, _, _, payload = await client.frame()
            assert kind is not FrameType.GOAWAY
            if kind is FrameType.DATA:
                came += len(payload)
                client.send(PING, frames.window_update(1, len(payload)))


async def test_streams_outlive_their_connection_s_age(rpc, client):
    """The server does not stop, and they go on."""
    client.send(client.call(1, "/t/Chat", b"a", end=False))
    assert (await client.frame())[0] is FrameType.HEADERS
    assert (await client.frame())[3].endswith(b"a")
    (guest,) = rpc.door.guests
    guest._keeping._retire()
    assert (await client.frame())[0] is FrameType.GOAWAY
    client.send(client.data(1, b"\0\0\0\0\1b", end=True))
    messages, trailers = await client.messages(1)
    assert (messages, trailers["grpc-status"]) == ([b"b"], "0")
    await client.ended()


class Taker(DataReceiver, FrameReceiver):
    """Takes what a reader reads; has a place for large data until it is told otherwise."""

    def __init__(self):
        self.memory = memoryview(bytearray(100_000))
        self.came = 0
        self.gone = False

    def data(self, stream, payload, size, *, end):
        self.came += size

    def place(self, stream):
        return None if self.gone else self.memory

    def placed(self, stream, size, *, end):
        assert not self.gone
        self.came += size

    def headers(self, stream, block, *, end):
        self.came += len(block)

    def frame(self, kind, flags, stream, payload):
        assert kind == FrameType.SETTINGS


def test_place_that_was_asked_for_in_vain_is_forgotten():
    """The loop asks where bytes belong, and none may come before the stream has ended: they are read as those of no stream."""
    taker = Taker()
    reader = FrameReader(taker, taker)
    start = GREETING + frame_head(50_000, FrameType.DATA, 0, 1)
    reader.room()[: len(start)] = start
    reader.received(len(start))
    assert len(reader.room()) == 50_000
    taker.gone = True
    reader.room()
    reader.received(1000)
    assert taker.came == 1000


async def test_trailers_under_way_when_their_stream_was_reset_are_dropped(both, connect):
    """A client may send what it had begun to; new requests on old streams end the connection all the same."""
    client = await connect(both.port)
    client.send(client.head(1, "/a", ("content-length", "3000001")))
    assert (await client.answer(1))[0][0][":status"] == "413"
    block = client.encoder.encode([("checksum", "1")])
    client.send(frame(FrameType.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block))
    client.send(client.call(3, ECHO, b"a"))
    assert (await client.messages(3))[0] == [b"a"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(FrameType.HEADERS, frames.END_HEADERS, 0, b"\x82"), ErrorCode.PROTOCOL_ERROR),
        (frame(FrameType.PRIORITY, 0, 0, b"\0" * 5), ErrorCode.PROTOCOL_ERROR),
        (frame(FrameType.PRIORITY, 0, 1, b"\0" * 4), ErrorCode.FRAME_SIZE_ERROR),
    ],
)
async def test_frames_of_no_stream_end_the_connection(client, sent, code):
    """None of them is answered by a reset of a stream that is none."""
    client.send(sent)
    assert (await client.farewell())[0] is code


async def test_padding_is_no_flood(rpc, client):
    """A client that pads each frame of a large body sends data all the same."""
    await allow(rpc, client, 20)
    body = b"\0" + (3000).to_bytes(4, "big") + b"x" * 3000
    client.send(client.call(11, ECHO, end=False))
    for at in range(0, len(body), 30):
        piece = body[at : at + 30]
        last = frames.END_STREAM if at + 30 >= len(body) else 0
        client.send(frame(FrameType.DATA, frames.PADDED | last, 11, b"\5" + piece + b"\0" * 5))
    assert (await client.messages(11))[0] == [b"x" * 3000]


def test_flood_of_large_heads_lets_others_have_their_turn():
    """A few of them cost as much as many calls."""
    taker = Taker()
    reader = FrameReader(taker, taker)
    sent = GREETING + frame(FrameType.HEADERS, frames.END_HEADERS, 1, b"\x82" * 1500) * 60
    reader.room()[: len(sent)] = sent
    reader.received(len(sent))
    assert reader.more
    assert taker.came <= 5 * 1500
    while reader.more:
        reader.received(0)
    assert taker.came == 60 * 1500


async def test_flood_of_calls_lets_others_have_their_turn(rpc, client, calls):
    """Of the calls that come in one piece, some are answered in each turn of the loop, and all in the end."""
    client.send(client.call(1, ECHO, b"first"))
    assert (await client.messages(1))[0] == [b"first"]
    (guest,) = rpc.door.guests
    count = 500
    sent = b"".join(client.call(number, ECHO, b"x") for number in range(3, 3 + 2 * count, 2))
    room = guest.get_buffer(-1)
    room[: len(sent)] = sent
    guest.buffer_updated(len(sent))
    assert guest.last < 2 * count
    for number in range(3, 3 + 2 * count, 2):
        assert (await client.messages(number))[0] == [b"x"]


async def test_client_that_has_gone_holds_no_closing_up(rpc, client):
    """The loop has not yet told of it when the door closes."""
    client.send(client.call(1, ECHO, b"a"))
    await client.messages(1)
    client._writer.transport.abort()
    client._writer.transport._sock.close()
    for guest in rpc.door.guests:
        guest.leave()
    await rpc.close(30)
    assert not rpc.door.guests


async def test_client_that_closes_its_half_has_gone(rpc, client, calls):
    """It could open no window any more: what it asked is taken back, and the connection ends."""
    client.send(client.call(1, "/t/Wait", b"a"))
    await calls.waiting.acquire()
    client._writer.write_eof()
    await calls.cancelled.acquire()
    await client.ended()
    assert not rpc.door.guests


async def test_client_that_comes_in_while_the_door_closes_is_told_to_go(connect, calls, rpc_settings, certificate):
    """It had yet to agree on TLS when the others were told; nobody waits for it until the grace ends."""
    transport = LeanRpcTransport(calls.application, rpc_settings)
    port = await transport.listen("127.0.0.1", 0, reuse_port=False, tls=certificate)
    context = ssl.create_default_context(cafile=certificate.certificate)
    context.set_alpn_protocols(["h2"])
    early = await connect(port, context)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    early.send(early.call(1, "/t/Wait", b"a"))
    await calls.waiting.acquire()
    closing = asyncio.create_task(transport.close(30))
    assert (await early.frame())[0] is FrameType.GOAWAY
    await writer.start_tls(context, server_hostname="localhost")
    assert (await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)).endswith(frames.go_away(0, ErrorCode.NO_ERROR))
    writer.close()
    calls.go.set()
    assert (await early.messages(1))[0] == [b"a"]
    await closing

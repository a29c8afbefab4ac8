"""Calls of gRPC: messages however they are cut, statuses, metadata, deadlines, compression, and streams both ways."""

from __future__ import annotations

import asyncio
import base64
import gzip
import zlib
from collections import deque

import pytest
from charonia.errors import InvalidArgumentError
from charonia.rpc import RpcCode, RpcStatus
from charonia.transport import KeepAlive, RpcSettings
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.frames import ErrorCode, FrameType
from charonia_transport_lean.rpc.messages import MessageReader, message_prefix
from charonia_transport_lean.rpc.status import status_fields
from hypothesis import given
from hypothesis import strategies as st

CODE = {code: str(int(code)) for code in RpcCode}


def small(size):
    """Refuse messages of more than 100,000 bytes."""
    if size > 100_000:
        raise InvalidArgumentError(str(size))


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=6), st.lists(st.integers(0, 2000), max_size=6))
def test_messages_are_the_same_however_they_are_cut(sent, cuts):
    """Every cut of the bytes gives the same messages."""
    bodies = [(bytes(range(256)) * 2)[:size] for size, _ in sent]
    whole = b"".join(
        message_prefix(len(body), compressed=flag) + body for body, (_, flag) in zip(bodies, sent, strict=True)
    )
    reader, last = MessageReader(small), 0
    for cut in (*sorted(min(cut, len(whole)) for cut in cuts), len(whole)):
        reader.feed(memoryview(whole)[last:cut])
        last = cut
    assert reader.messages == deque((body, flag) for body, (_, flag) in zip(bodies, sent, strict=True))
    assert not reader.amid


def test_too_large_messages_are_skipped():
    """Those around them are read, and the order is kept."""
    reader = MessageReader(small)
    large = b"x" * 100_001
    whole = b"".join(message_prefix(len(body)) + body for body in (b"a", large, b"b"))
    for at in range(0, len(whole), 999):
        reader.feed(memoryview(whole)[at : at + 999])
    first, refused, last = reader.messages
    assert (first, str(refused), last) == ((b"a", False), "100001", (b"b", False))


def test_large_messages_are_put_where_they_are_read():
    """The reader gives the place, and the end of the message is aligned."""
    reader = MessageReader(small)
    reader.feed(memoryview(message_prefix(80_000) + b"x" * 10))
    while (place := reader.place()) is not None and reader.amid:
        taken = min(len(place), 30_000)
        place[:taken] = b"y" * taken
        reader.placed(taken)
    ((body, _),) = reader.messages
    assert bytes(body) == b"x" * 10 + b"y" * 79_990


async def test_answers_and_statuses(client):
    """What is well, what fails, and what should not have happened."""
    client.send(
        *(client.call(n, f"/t/{name}", b"a") for n, name in ((1, "Echo"), (3, "Fail"), (5, "Fault"), (7, "No")))
    )
    heads, body = await client.answer(1)
    assert heads == [{":status": "200", "content-type": "application/grpc"}, {"grpc-status": "0"}]
    assert body == b"\0\0\0\0\1a"
    ((failed,), body) = await client.answer(3)
    assert (failed["grpc-status"], failed["grpc-message"]) == (
        CODE[RpcCode.INVALID_ARGUMENT],
        "wrong, and %C3%BCnusual: 100%25",
    )
    assert (failed["hint"], failed[":status"], body) == ("7", "200", b"")
    ((fault,), _) = await client.answer(5)
    assert (fault["grpc-status"], fault["grpc-message"]) == (CODE[RpcCode.INTERNAL], "ZeroDivisionError: a fault")
    ((unknown,), _) = await client.answer(7)
    assert unknown["grpc-status"] == CODE[RpcCode.UNIMPLEMENTED]


@pytest.mark.parametrize(("text", "told"), [("a b", "a b"), ("a b ", "a%20b%20"), (" \n%", "%20%0A%25"), ("", None)])
def test_text_of_a_status_is_a_field_of_http(text, told):
    """Which neither begins nor ends with a space."""
    fields = dict(status_fields(RpcStatus(RpcCode.INTERNAL, text)))
    assert fields.get("grpc-message") == told


@pytest.mark.parametrize("bodies", [(), (b"a", b"b")])
async def test_unary_call_has_one_message(client, bodies):
    """None and two are an error of the client."""
    client.send(client.call(1, "/t/Echo", *bodies))
    ((status,), _) = await client.answer(1)
    assert status["grpc-status"] == CODE[RpcCode.INTERNAL]


async def test_cut_message_is_an_error(client):
    """A body that ends within a message."""
    client.send(client.call(1, "/t/Echo", end=False), client.data(1, b"\0\0\0\0\5ab", end=True))
    ((status,), _) = await client.answer(1)
    assert status["grpc-status"] == CODE[RpcCode.INTERNAL]


async def test_answers_that_are_there_at_once(client):
    """Without anything to wait for, answers, errors and faults are told as those that come later."""
    names = {1: "NowEcho", 3: "NowFail", 5: "NowFault", 7: "Echo", 9: "Fail", 11: "Fault"}
    client.send(*(client.call(number, f"/t/{name}", b"ab") for number, name in names.items()))
    told = {number: await client.answer(number) for number in names}
    assert (told[1], told[3], told[5]) == (told[7], told[9], told[11])
    assert told[1][1] == message_prefix(2) + b"ab"
    assert told[3][0][0]["grpc-status"] == CODE[RpcCode.INVALID_ARGUMENT]
    assert told[5][0][0]["grpc-message"] == "ZeroDivisionError: a fault"


async def test_metadata(client):
    """Text as text, `-bin` as bytes, nothing of the protocol's own."""
    value = base64.b64encode(b"\0\1\2").decode().rstrip("=")
    fields = [("a", "1"), ("a", "2"), ("b-bin", value), ("b-bin", "AA==,AQ"), ("c-bin", "?"), ("grpc-timeout", "1H")]
    client.send(client.call(1, "/t/Fields", b"", fields=fields))
    ((told,), _) = await client.messages(1)
    expected = [("a", "1"), ("a", "2"), ("b-bin", b"\0\1\2"), ("b-bin", b"\0"), ("b-bin", b"\1")]
    assert told == repr(sorted(expected)).encode()


@pytest.mark.parametrize("limit", ["10m", "20000u", "10000000n"])
async def test_deadline_takes_the_call_back(client, calls, limit):
    """The client gets the status, and the application is cancelled."""
    client.send(client.call(1, "/t/Wait", b"a", fields=[("grpc-timeout", limit)]))
    ((status,), _) = await client.answer(1)
    assert status["grpc-status"] == CODE[RpcCode.DEADLINE_EXCEEDED]
    await calls.cancelled.acquire()


@pytest.mark.parametrize("limit", ["0m", "0S", "0000000000n"])
async def test_call_that_comes_too_late_is_not_begun(client, calls, limit):
    """Its client has given up already, be it a message or a stream, and be the application never so quick."""
    for number, name in ((1, "Wait"), (3, "NowEcho"), (5, "Chat")):
        client.send(client.call(number, f"/t/{name}", b"a", fields=[("grpc-timeout", limit)]))
        ((status,), _) = await client.answer(number)
        assert status["grpc-status"] == CODE[RpcCode.DEADLINE_EXCEEDED]
    assert calls.cancelled.locked()


@pytest.mark.parametrize("limit", ["", "m", "5", "-1m", "5s", "1.5S", "5mm", "5" * 9000])
async def test_deadline_that_cannot_be_read(client, limit):
    """The status tells what was sent and what a deadline looks like."""
    client.send(client.call(1, "/t/Echo", b"a", fields=[("grpc-timeout", limit)]))
    ((status,), _) = await client.answer(1)
    assert status["grpc-status"] == CODE[RpcCode.INTERNAL]
    assert f"'{limit[:40]}'" in status["grpc-message"]
    assert "such as 100m" in status["grpc-message"]


async def test_deadline_for_ever(client):
    """A deadline of any length is one."""
    client.send(client.call(1, "/t/Echo", b"a", fields=[("grpc-timeout", "9" * 5000 + "H")]))
    assert (await client.answer(1))[1] == message_prefix(1) + b"a"


async def test_too_large_message_is_refused_before_it_has_come(client):
    """The status names the option; the rest of the body is not waited for."""
    client.send(client.call(1, "/t/Echo", end=False), client.data(1, message_prefix(3_000_000) + b"x"))
    ((status,), _) = await client.answer(1)
    assert status["grpc-status"] == CODE[RpcCode.INVALID_ARGUMENT]
    assert "--grpc-max-message-size" in status["grpc-message"]
    assert await client.frame() == (FrameType.RST_STREAM, 0, 1, b"\0\0\0\0")


def compressed(data, encoding):
    """Write a compressed message."""
    packed = gzip.compress(data) if encoding == "gzip" else zlib.compress(data)
    return message_prefix(len(packed), compressed=True) + packed


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_compressed_messages_are_read(client, encoding, size):
    """Small ones and large ones."""
    body = bytes(range(250)) * (size // 250 + 1)
    client.send(client.call(1, "/t/Echo", end=False, fields=[("grpc-encoding", encoding)]))
    client.send(client.data(1, compressed(body, encoding), end=True), frames.window_update(1, 1 << 24))
    assert (await client.messages(1))[0] == [body]


@pytest.mark.parametrize(
    ("encoding", "data", "code"),
    [
        ("gzip", compressed(b"x" * 3_000_000, "gzip"), RpcCode.INVALID_ARGUMENT),
        ("gzip", message_prefix(5, compressed=True) + b"wrong", RpcCode.INTERNAL),
        ("deflate", message_prefix(9, compressed=True) + zlib.compress(b"abc" * 50)[:9], RpcCode.INTERNAL),
        ("identity", message_prefix(1, compressed=True) + b"x", RpcCode.INTERNAL),
        ("snappy", message_prefix(1, compressed=True) + b"x", RpcCode.UNIMPLEMENTED),
    ],
)
async def test_what_cannot_be_decompressed_is_an_error(client, encoding, data, code):
    """Bombs, rubbish, cut ones, and compressions that nobody named or knows."""
    client.send(
        client.call(1, "/t/Echo", end=False, fields=[("grpc-encoding", encoding)]), client.data(1, data, end=True)
    )
    ((status,), _) = await client.answer(1)
    assert status["grpc-status"] == CODE[code]
    assert status["grpc-message"]


class TestCompressedAnswers:
    """With the option, answers are compressed for those who take them so."""

    @pytest.fixture
    def rpc_settings(self):
        return RpcSettings("medium", 2_000_000, KeepAlive())

    async def test_for_a_client_that_takes_them(self, client):
        """Both kinds of calls."""
        fields = [("grpc-accept-encoding", "identity, deflate")]
        client.send(
            client.call(1, "/t/Large", b"50000", fields=fields), client.call(3, "/t/Chat", b"x" * 500, fields=fields)
        )
        for stream, size in ((1, 50_000), (3, 500)):
            heads, body = await client.answer(stream)
            assert heads[0]["grpc-encoding"] == "deflate"
            assert body[0] == 1
            assert zlib.decompress(body[5:]) == b"x" * size

    async def test_not_for_others(self, client):
        """They get them plain."""
        client.send(client.call(1, "/t/Echo", b"a", fields=[("grpc-accept-encoding", "identity, snappy")]))
        heads, body = await client.answer(1)
        assert "grpc-encoding" not in heads[0]
        assert body == b"\0\0\0\0\1a"


async def test_stream_is_open_both_ways(client):
    """Answers come while messages still go, and the end comes after the last."""
    client.send(client.call(1, "/t/Chat", b"a", end=False))
    assert (await client.frame())[0] is FrameType.HEADERS
    assert await client.frame() == (FrameType.DATA, 0, 1, b"\0\0\0\0\1a")
    client.send(client.data(1, b"\0\0\0\0\1b", end=False))
    assert await client.frame() == (FrameType.DATA, 0, 1, b"\0\0\0\0\1b")
    client.send(client.data(1, b"", end=True))
    kind, flags, _, _ = await client.frame()
    assert (kind, flags & frames.END_STREAM) == (FrameType.HEADERS, frames.END_STREAM)


async def test_stream_without_messages(client):
    """It ends well with a head, and trailers."""
    client.send(client.call(1, "/t/Chat"))
    heads, body = await client.answer(1)
    assert [set(fields) for fields in heads] == [{":status", "content-type"}, {"grpc-status"}]
    assert body == b""


async def test_stream_that_fails(client, calls):
    """Its status comes after what was answered before, or alone."""
    client.send(client.call(1, "/t/Chat", b"a", b"end", end=False), client.call(3, "/t/Chat", b"end", end=False))
    told, trailers = await client.messages(1)
    assert (told, trailers["grpc-status"], trailers["grpc-message"]) == (
        [b"a"],
        CODE[RpcCode.INVALID_ARGUMENT],
        "ended",
    )
    ((status,), _) = await client.answer(3)
    assert status["grpc-message"] == "ended"
    for stream in calls.streams:
        await stream.closed.wait()


async def test_too_large_message_of_a_stream_is_told_in_it(client, calls):
    """And the stream goes on."""
    client.send(client.call(1, "/t/Chat", b"a", end=False))
    client.send(client.data(1, message_prefix(2_000_001) + b"x" * 2_000_001 + message_prefix(1) + b"b", end=True))
    assert (await client.messages(1))[0] == [b"a", b"refused", b"b"]
    assert calls.streams[0].refused


async def test_stream_whose_client_goes_is_closed(client, calls):
    """By a reset, by its deadline, and with the connection."""
    client.send(client.call(1, "/t/Chat", b"a", end=False), client.call(5, "/t/Chat", b"a", end=False))
    client.send(client.call(7, "/t/Chat", end=False, fields=[("grpc-timeout", "1m")]))
    ((status,), _) = await client.answer(7)
    assert status["grpc-status"] == CODE[RpcCode.DEADLINE_EXCEEDED]
    client.send(frames.reset(1, ErrorCode.CANCEL))
    await calls.streams[0].closed.wait()
    await calls.streams[2].closed.wait()
    assert not calls.streams[1].closed.is_set()
    client.close()
    await calls.streams[1].closed.wait()


async def test_stream_without_room_holds_its_client_up(client, calls):
    """Messages wait, in their order, and no more of them than the window; when there is room they go on."""
    client.send(client.call(1, "/t/Chat", b"first", end=False))
    await client.frame()
    await client.frame()
    calls.streams[0].room.clear()
    client.send(client.data(1, b"".join(message_prefix(4) + b"%04d" % number for number in range(100))))
    client.send(frames.ping(b"12345678", ack=False))
    assert (await client.frame())[0] is FrameType.PING
    assert calls.streams[0].received == 1
    calls.streams[0].room.set()
    client.send(client.data(1, b"", end=True))
    told, _ = await client.messages(1)
    assert told == [b"%04d" % number for number in range(100)]


async def test_slow_reader_holds_the_stream_up(rpc, connect, calls):
    """What its window does not take is not asked of the application."""
    client = await connect(rpc.port, initial_window_size=10)
    client.send(client.call(1, "/t/Chat", *(b"%d" % n for n in range(10)), end=False))
    client.send(frames.ping(b"12345678", ack=False))
    while (await client.frame())[0] is not FrameType.PING:
        pass
    await asyncio.sleep(0)
    assert calls.streams[0].answers.qsize() >= 7
    client.send(frames.window_update(1, 1000), client.data(1, b"", end=True))
    heads, _ = await client.answer(1)
    assert heads[-1] == {"grpc-status": "0"}


async def test_closing_ends_streams_with_the_reason(rpc, client, calls):
    """They get UNAVAILABLE, after what they asked for."""
    client.send(client.call(1, "/t/Chat", b"a", end=False))
    assert (await client.frame())[0] is FrameType.HEADERS
    await client.frame()
    closing = asyncio.create_task(rpc.close(30))
    assert (await client.frame())[0] is FrameType.GOAWAY
    ((trailers,), _) = await client.answer(1)
    assert "shutting down" in trailers["grpc-message"]
    await client.ended()
    await closing


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_calls_are_posts(client, method):
    """Anything else is no call."""
    client.send(client.head(1, "/t/Echo", ("content-type", "application/grpc"), end=True, method=method))
    ((status,), _) = await client.answer(1)
    assert status["grpc-status"] == CODE[RpcCode.UNIMPLEMENTED]


async def test_what_is_no_call_is_told_what_is_spoken_here(client):
    """On a port of gRPC alone."""
    client.send(client.head(1, "/v2", end=True, method="GET"))
    ((head,), body) = await client.answer(1)
    assert head[":status"] == "415"
    assert b"application/grpc" in body

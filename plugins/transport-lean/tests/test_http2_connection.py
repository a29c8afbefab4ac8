"""The rules of HTTP/2, over real sockets: streams, windows, settings, farewells, and what each broken rule costs."""

from __future__ import annotations

import asyncio

import pytest
from charonia.testing.patience import PATIENCE_SECONDS
from charonia_transport_lean.http2 import connection as module
from charonia_transport_lean.http2 import frames, patience
from charonia_transport_lean.http2.frames import ErrorCode, FrameType, frame_head
from charonia_transport_lean.http2.greeting import MOST_STREAMS

ECHO = "/t/Echo"


def frame(kind, flags=0, stream=0, payload=b""):
    """Write a frame."""
    return frame_head(len(payload), kind, flags, stream) + payload


@pytest.fixture
def lingering(monkeypatch):
    """Have the server take what a client has begun to send for as long as that takes, so that its farewell is not lost."""
    monkeypatch.setattr(module, "_LINGER_SECONDS", PATIENCE_SECONDS)


async def test_requests_of_many_streams_are_answered(client):
    """Each by its own answer, in whatever order."""
    client.send(*(client.call(number, ECHO, b"%d" % number) for number in range(1, 41, 2)))
    for number in range(1, 41, 2):
        assert (await client.messages(number))[0] == [b"%d" % number]


async def test_the_server_tells_its_settings(client):
    """How many streams, how large frames, windows and heads may be."""
    client.send(client.call(1, ECHO, b""))
    await client.messages(1)
    assert client.settings == {
        frames.Setting.MAX_CONCURRENT_STREAMS: 1024,
        frames.Setting.INITIAL_WINDOW_SIZE: 4_194_304,
        frames.Setting.MAX_FRAME_SIZE: 4_194_304,
        frames.Setting.MAX_HEADER_LIST_SIZE: 65_536,
    }


@pytest.mark.parametrize("window", [0, 1, 100, 65_535])
async def test_answers_keep_to_the_windows_of_streams(rpc, connect, window):
    """Nothing more is sent than the client lets be sent; when it opens the window, the rest comes."""
    client = await connect(rpc.port, initial_window_size=window)
    client.send(client.call(1, "/t/Large", b"100000"))
    kind, _, _, _ = await client.frame()
    assert kind is FrameType.HEADERS
    came = 0
    while came < window:
        kind, _, _, payload = await client.frame()
        assert kind is FrameType.DATA
        came += len(payload)
    assert came == window
    client.send(frames.ping(b"anything", ack=False))
    assert (await client.frame())[0] is FrameType.PING  # and no data before it
    client.send(frames.window_update(1, 100_005 - window))
    _, body = await client.answer(1)
    assert came + len(body) == 100_005


async def test_answers_keep_to_the_window_of_the_connection(rpc, connect):
    """All streams together send no more than it, and take turns when it opens."""
    client = await connect(rpc.port, initial_window_size=1 << 20)
    client.send(frames.settings({}))
    client.send(*(client.call(number, "/t/Large", b"1000000") for number in (1, 3, 5)))
    for number in (1, 3, 5):
        _, body = await client.answer(number) if number == 1 else ([], b"")
        assert number != 1 or len(body) == 1_000_005


async def test_changed_window_reaches_streams_that_wait(rpc, connect):
    """A later setting lets them go on, and may make a window negative meanwhile."""
    client = await connect(rpc.port, initial_window_size=1000)
    client.send(client.call(1, "/t/Large", b"5000"))
    assert (await client.frame())[0] is FrameType.HEADERS
    came = len((await client.frame())[3])
    assert came == 1000
    client.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 10}), frames.window_update(1, 900))
    client.send(frames.ping(b"anything", ack=False))
    assert (await client.frame())[0] is FrameType.PING
    client.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 100_000}))
    _, body = await client.answer(1)
    assert came + len(body) == 5005


async def test_no_window_is_used_before_it_is_acknowledged(rpc, connect):
    """A client counts on a larger one only when it has read the acknowledgement, and would take earlier data for a fault."""
    client = await connect(rpc.port, initial_window_size=0)
    client.send(client.call(1, "/t/Large", b"50"))
    assert (await client.frame())[0] is FrameType.HEADERS
    before = client.acknowledged
    client.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 1000}))
    assert (await client.frame())[0] is FrameType.DATA
    assert client.acknowledged == before + 1


async def test_large_answers_come_in_frames_that_the_client_takes(rpc, connect):
    """Of at most the size that it names."""
    client = await connect(rpc.port, initial_window_size=1 << 24, max_frame_size=20_000)
    client.send(client.call(1, "/t/Large", b"100000"))
    sizes = []
    while True:
        kind, flags, _, payload = await client.frame()
        if kind is FrameType.DATA:
            sizes.append(len(payload))
        elif flags & frames.END_STREAM:
            break
    assert max(sizes) == 20_000
    assert sum(sizes) == 100_005


async def test_large_requests_get_room(client):
    """The windows are opened again while the data is taken."""
    body = bytes(range(256)) * 7000
    sent = client.call(1, ECHO, body)
    client.send(sent, frames.window_update(1, 1 << 24))
    assert (await client.messages(1))[0] == [body]


@pytest.mark.parametrize(
    "field", [("te", "gzip"), ("connection", "close"), ("Upper", "x"), ("bad name", "x"), ("v", "a\nb")]
)
async def test_malformed_heads_end_their_stream_alone(client, field):
    """A field that HTTP/2 forbids is an error of the stream; the next one is answered."""
    client.send(client.call(1, ECHO, b"a", fields=(field,)), client.call(3, ECHO, b"b"))
    assert await client.answer(1) is ErrorCode.PROTOCOL_ERROR
    assert (await client.messages(3))[0] == [b"b"]


@pytest.mark.parametrize("length", ["2", "8", "x", "-1", "6, 6"])
async def test_body_of_another_length_than_said_is_malformed(client, length):
    """Longer, shorter, or no length at all."""
    client.send(client.call(1, ECHO, b"a", fields=(("content-length", length),)))
    assert await client.answer(1) is ErrorCode.PROTOCOL_ERROR


async def test_trailers_of_a_client_end_its_request(client):
    """Their fields mean nothing, and they must end the stream and have no pseudo-fields."""
    client.send(client.call(1, ECHO, b"a", end=False))
    block = client.encoder.encode([("checksum", "1")])
    client.send(frame(FrameType.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block))
    assert (await client.messages(1))[0] == [b"a"]
    client.send(client.call(3, ECHO, b"a", end=False))
    client.send(frame(FrameType.HEADERS, frames.END_HEADERS, 3, client.encoder.encode([("checksum", "1")])))
    assert await client.answer(3) is ErrorCode.PROTOCOL_ERROR


async def test_reset_takes_the_request_back(client, calls):
    """The application is told, and the connection goes on."""
    client.send(client.call(1, "/t/Wait", b"a"))
    await calls.waiting.acquire()
    client.send(frames.reset(1, ErrorCode.CANCEL))
    await calls.cancelled.acquire()
    client.send(client.call(3, ECHO, b"b"))
    assert (await client.messages(3))[0] == [b"b"]


async def test_lost_connection_takes_its_requests_back(client, calls):
    """All of them."""
    client.send(client.call(1, "/t/Wait", b"a"), client.call(3, "/t/Wait", b"a"))
    await calls.waiting.acquire()
    await calls.waiting.acquire()
    client.close()
    await calls.cancelled.acquire()
    await calls.cancelled.acquire()


async def test_frames_of_streams_that_have_ended_are_ignored(client):
    """They may have been under way."""
    client.send(client.call(1, ECHO, b"a"))
    await client.messages(1)
    client.send(frames.window_update(1, 10), frames.reset(1, ErrorCode.CANCEL), frame(FrameType.DATA, 0, 1, b"x"))
    client.send(client.call(3, ECHO, b"b"))
    assert (await client.messages(3))[0] == [b"b"]


async def test_pings_are_answered(client):
    """With what they carry."""
    client.send(frames.ping(b"12345678", ack=False))
    assert await client.frame() == (FrameType.PING, frames.ACK, 0, b"12345678")


SETTINGS, WINDOW, GOAWAY, PING = FrameType.SETTINGS, FrameType.WINDOW_UPDATE, FrameType.GOAWAY, FrameType.PING


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
        (frame(SETTINGS, frames.ACK, 0, b"\0" * 6), ErrorCode.FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, b"\0" * 5), ErrorCode.FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
        (frame(SETTINGS, 0, 0, b"\0\5\0\0\0\1"), ErrorCode.PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, b"\0\2\0\0\0\2"), ErrorCode.PROTOCOL_ERROR),
        (frame(WINDOW, 0, 0, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
        (frame(WINDOW, 0, 0, b"\0\0\0"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
        (frame(WINDOW, 0, 5, b"\0\0\0\1"), ErrorCode.PROTOCOL_ERROR),
        (frame(PING, 0, 0, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(PING, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (frame(FrameType.RST_STREAM, 0, 5, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
        (frame(FrameType.RST_STREAM, 0, 1, b"\0\0\0"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(FrameType.PUSH_PROMISE, 0, 1, b"\0" * 4), ErrorCode.PROTOCOL_ERROR),
        (frame(FrameType.DATA, 0, 5, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frame(FrameType.HEADERS, frames.END_HEADERS, 2, b"\x82"), ErrorCode.PROTOCOL_ERROR),
        (frame(FrameType.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
        (frame(GOAWAY, 0, 1, b"\0" * 8), ErrorCode.PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 0, b"\0" * 4), ErrorCode.PROTOCOL_ERROR),
    ],
)
async def test_broken_rules_end_the_connection(client, sent, code):
    """With the code that the RFC has for it."""
    client.send(sent)
    assert (await client.farewell())[0] is code


async def test_headers_on_a_stream_that_has_ended_end_the_connection(client):
    """Numbers of streams only grow."""
    client.send(client.call(3, ECHO, b"a"))
    await client.messages(3)
    client.send(client.call(1, ECHO, b"a"))
    assert (await client.farewell())[0] is ErrorCode.STREAM_CLOSED


async def test_window_of_a_stream_has_an_end(client, calls):
    """One that grows too large ends the stream."""
    client.send(client.call(1, "/t/Wait", b"a"), frames.window_update(1, 0x7FFFFFFF))
    assert await client.answer(1) is ErrorCode.FLOW_CONTROL_ERROR
    await calls.cancelled.acquire()


@pytest.mark.usefixtures("lingering")
async def test_more_data_than_the_window_ends_the_connection(client, calls):
    """While a stream has no room for what comes, its window is not opened again."""
    client.send(client.call(1, "/t/Chat", b"first", end=False))
    while not calls.streams:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    calls.streams[0].room.clear()
    message = b"\0\0\0\x40\0" + b"x" * 0x4000
    client.send(client.data(1, message * 300))
    assert await client.farewell() == (ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window")


async def test_too_many_streams_are_refused(client, calls):
    """Those that are open go on."""
    client.send(*(client.call(number, "/t/Wait", b"a") for number in range(1, 2 * MOST_STREAMS + 3, 2)))
    assert await client.answer(2 * MOST_STREAMS + 1) is ErrorCode.REFUSED_STREAM
    calls.go.set()
    assert (await client.messages(1))[0] == [b"a"]


async def test_no_new_streams_for_a_client_that_does_not_read(rpc, connect, monkeypatch):
    """What is unsent has a bound, and the client may ask again later."""
    monkeypatch.setattr(module, "_MOST_UNSENT", 1000)
    client = await connect(rpc.port, initial_window_size=0)
    client.send(client.call(1, "/t/Large", b"2000"), client.call(3, ECHO, b"a"))
    assert await client.answer(3) is ErrorCode.REFUSED_STREAM
    client.send(frames.window_update(1, 10_000), client.call(5, ECHO, b"b"), frames.window_update(5, 100))


FLOODS = {
    "pings": frames.ping(b"12345678", ack=False),
    "settings": frames.settings({}),
    "priorities": frame(FrameType.PRIORITY, 0, 1, b"\0" * 5),
    "window updates": frames.window_update(0, 1),
    "frames of extensions": frame(0x42, 0, 0, b""),
    "frames without data": frame(FrameType.DATA, 0, 1, b""),
}


@pytest.mark.usefixtures("lingering")
@pytest.mark.parametrize("kind", FLOODS)
async def test_floods_end_the_connection(client, kind):
    """Frames that cost the server more than the client have an allowance, however they are mixed with requests."""
    client.send(client.call(1, ECHO, b"", end=False))
    client.send(FLOODS[kind] * 40_000)
    code, text = await client.farewell()
    assert (code, text) == (ErrorCode.ENHANCE_YOUR_CALM, f"too many {kind}")


@pytest.mark.usefixtures("lingering")
async def test_rapid_resets_end_the_connection(client):
    """A client that begins requests and takes them back at once soon has no connection any more."""
    for number in range(1, 4001, 2):
        client.send(client.call(number, "/t/Wait", b"a"), frames.reset(number, ErrorCode.CANCEL))
    assert await client.farewell() == (ErrorCode.ENHANCE_YOUR_CALM, "too many resets")


@pytest.mark.usefixtures("lingering")
async def test_streams_that_a_client_has_reset_by_its_faults_count_too(client):
    """Requests that the server itself has to reset are as cheap for an attacker."""
    for number in range(1, 4001, 2):
        client.send(client.call(number, ECHO, b"a"), frames.window_update(number, 0))
        client.send(
            client.call(number + 100_000, "/t/Wait", b"a", end=False), frames.window_update(number + 100_000, 0)
        )
        break
    for number in range(200_001, 204_001, 2):
        client.send(client.call(number, "/t/Wait", b"a"), frames.window_update(number, 0))
    assert (await client.farewell())[0] is ErrorCode.ENHANCE_YOUR_CALM


async def test_replies_that_nobody_reads_have_an_end(rpc, client, monkeypatch):
    """A client that only sends pings makes the server hold no more than so much."""
    monkeypatch.setattr(module, "_MOST_UNREAD_REPLIES", 1000)
    client.send(client.call(1, ECHO, b"a"))
    await client.messages(1)
    (guest,) = rpc.door.guests
    guest._allowance._upkeep._most = guest._allowance._upkeep._left = 1e9

    async def flood():
        while True:
            client.send(frames.ping(b"12345678", ack=False) * 1000)
            await client._writer.drain()

    with pytest.raises((ConnectionError, TimeoutError)):
        async with asyncio.timeout(30):
            await flood()
    assert not rpc.door.guests


async def test_unfinished_requests_are_given_up(rpc, client, monkeypatch):
    """A body that does not go on loses its stream, and the others keep theirs; a stream between two messages may wait."""
    monkeypatch.setattr(patience, "_PATIENCE_SECONDS", -1.0)
    client.send(client.call(1, ECHO, b"a", end=False), client.call(3, "/t/Chat", b"b", end=False))
    assert (await client.frame())[0] is FrameType.HEADERS
    assert (await client.frame())[3].endswith(b"b")
    rpc.door._look_after()
    assert await client.answer(1) is ErrorCode.CANCEL
    client.send(client.data(3, b"\0\0\0\0\1c", end=True))
    assert await client.frame() == (FrameType.DATA, 0, 3, b"\0\0\0\0\1c")


async def test_connections_amid_a_frame_are_given_up(rpc, client, monkeypatch):
    """And those whose client does not read."""
    from charonia_transport_lean import door

    client.send(client.call(1, ECHO, b"a"))
    await client.messages(1)
    client.send(b"\0\0")
    (guest,) = rpc.door.guests
    while not guest.stalled:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    monkeypatch.setattr(door, "_STALL_SECONDS", -1.0)
    rpc.door._look_after()
    await client.ended()


async def test_closing_does_not_wait_for_ever(rpc, client, calls):
    """After the grace what is left is taken back."""
    client.send(client.call(1, "/t/Wait", b"a"))
    await calls.waiting.acquire()
    await rpc.close(0)
    await calls.cancelled.acquire()
    await client.ended()

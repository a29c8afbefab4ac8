"""Clients of HTTP/2 that do not read their answers: what they may keep waiting, and for how long."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from charonia_transport_lean.http2 import connection as module
from charonia_transport_lean.http2 import frames, patience
from charonia_transport_lean.http2.frames import ErrorCode, FrameType
from charonia_transport_lean.http2.inflow import STREAM_WINDOW
from charonia_transport_lean.http2.patience import Patience
from http1_side import until

ECHO = "/t/Echo"


def waiting(unsent, *, window=0):
    """Make a stream whose answer waits; a window of its own is what holds it up unless that is open."""
    return SimpleNamespace(number=1, unsent=unsent > 0, unsent_bytes=unsent, window=window, half_closed=True)


def test_who_reads_nothing_has_a_minute():
    """However often it is asked."""
    kept, stream = Patience(), waiting(1000)
    assert all(not kept.lost([stream], now) for now in range(0, 61, 5))
    assert kept.lost([stream], 61) == [stream]


def test_who_reads_byte_by_byte_has_little_more():
    """A byte buys a thousandth of a second."""
    kept, stream = Patience(), waiting(1000)
    for now in range(0, 61, 5):
        assert kept.lost([stream], now) == []
        stream.unsent_bytes -= 1
        stream.unsent = True
    assert kept.lost([stream], 61) == [stream]


@pytest.mark.parametrize("window", [0, 1000])
def test_who_reads_steadily_has_any_time(window):
    """1 KiB a second, of the stream itself or, while the connection holds it up, of all of them."""
    kept, stream = Patience(), waiting(10_000_000, window=window)
    for now in range(0, 3600, 5):
        assert kept.lost([stream], now) == []
        stream.unsent_bytes -= 0 if window else 5 * 1024
        kept.sent(5 * 1024)


def test_what_others_read_does_not_count_where_the_stream_s_own_window_is_closed():
    """A client may not have one answer kept for ever by reading others."""
    kept, stream = Patience(), waiting(1000)
    for now in range(0, 61, 5):
        assert kept.lost([stream], now) == []
        kept.sent(1_000_000)
    assert kept.lost([stream], 61) == [stream]


def test_clock_runs_anew_for_what_waits_anew():
    """A stream whose messages are read each time is never late."""
    kept, stream = Patience(), waiting(1000)
    for now in range(0, 600, 50):
        assert kept.lost([stream], now) == []
        stream.unsent = False
        assert kept.lost([stream], now + 1) == []
        stream.unsent = True


async def test_pings_keep_no_answer_waiting(rpc, connect, monkeypatch):
    """An answer that is not read is given up though its client says something now and then; its other streams go on."""
    client = await connect(rpc.port, initial_window_size=100)
    client.send(client.call(1, "/t/Large", b"100000"))
    while (await client._frame_of(1))[0] is not FrameType.DATA:
        pass
    client.send(frames.ping(b"12345678", ack=False))
    assert (await client.frame())[0] is FrameType.PING
    (guest,) = rpc.door.guests
    assert not guest.stalled
    monkeypatch.setattr(patience, "_PATIENCE_SECONDS", -1.0)
    rpc.door._look_after()
    assert await client.answer(1) is ErrorCode.CANCEL
    assert guest.outflow.unsent_bytes == 0
    client.send(client.call(3, ECHO, b"b"))
    assert (await client.messages(3))[0] == [b"b"]


async def test_pings_keep_no_connection_that_is_not_read(rpc, connect):
    """While its socket takes nothing, only what is read moves the clock that runs against a client."""
    client = await connect(rpc.port, initial_window_size=1 << 30)
    client.send(client.call(1, "/t/Large", b"30000000"))
    await until(lambda: any(getattr(guest, "outflow", None) and guest.outflow.paused for guest in rpc.door.guests))
    (guest,) = rpc.door.guests
    guest.look()
    guest.touched -= 50
    late, heard = guest.touched, guest._keeping.heard
    client.send(frames.ping(b"12345678", ack=False))
    await until(lambda: guest._keeping.heard > heard)
    guest.look()
    assert guest.stalled
    assert guest.touched == late
    await client._reader.readexactly(10_000_000)
    await until(lambda: guest.look() or guest.touched > late)


async def test_data_that_waits_in_the_socket_is_no_flood_of_replies(rpc, connect, monkeypatch):
    """A client that asks for much, and says something before it reads, gets all of it."""
    monkeypatch.setattr(module, "_MOST_UNREAD_REPLIES", 1000)
    client = await connect(rpc.port, initial_window_size=1 << 30)
    client.send(client.call(1, "/t/Large", b"30000000"))
    await until(lambda: any(getattr(guest, "outflow", None) and guest.outflow.paused for guest in rpc.door.guests))
    (guest,) = rpc.door.guests
    heard = guest._keeping.heard
    client.send(frames.ping(b"12345678", ack=False))
    await until(lambda: guest._keeping.heard > heard)
    guest.send()
    await client._reader.readexactly(30_000_000)


def came(stream):
    """Tell how much of a stream's window is used up, in bytes."""
    return STREAM_WINDOW - stream.credit


async def test_body_that_drips_runs_out_of_time(rpc, client):
    """A byte of a request buys a thousandth of a second, however many frames it comes in; a stream between messages has any time."""
    client.send(client.call(1, ECHO, end=False), client.data(1, b"\0\0\0\0\x64"))
    client.send(client.call(3, "/t/Chat", b"a", end=False))
    await until(lambda: any(len(getattr(guest, "streams", ())) == 2 for guest in rpc.door.guests))
    (guest,) = rpc.door.guests
    await until(lambda: came(guest.streams[3]) == 6)
    for stream in guest.streams.values():
        stream.touched -= 50
    call, chat = guest.streams[1], guest.streams[3]
    late = call.touched
    client.send(*(client.data(1, b"x") for _ in range(5)), client.data(3, b"\0\0\0\0\1b"))
    await until(lambda: came(call) == 10 and came(chat) == 12)
    assert call.touched == pytest.approx(late + 5 / 1024)
    assert guest.loop.time() - chat.touched < 40


async def test_frame_that_drips_runs_out_of_time(rpc, client):
    """The clock of a frame does not begin again with each byte of it, but it does with the next frame."""
    client.send(client.call(1, ECHO, b"a"))
    await client.messages(1)
    (guest,) = rpc.door.guests
    ping = frames.ping(b"12345678", ack=False)
    client.send(ping[:2])
    await until(lambda: guest._reader._filled == 2)
    guest.touched -= 50
    late = guest.touched
    for count in range(3, 8):
        client.send(ping[count - 1 : count])
        await until(lambda count=count: guest._reader._filled == count)
    assert guest.stalled
    assert guest.touched == pytest.approx(late + 5 / 1024)
    client.send(ping[7:])
    assert (await client.frame())[0] is FrameType.PING
    assert guest.loop.time() - guest.touched < 40

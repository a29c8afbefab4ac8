"""The care of connections: pings of ours, pings of clients, and age."""

from __future__ import annotations

import asyncio

import pytest
from charonia.transport import KeepAlive, RpcSettings
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.frames import ErrorCode, FrameType
from charonia_transport_lean.http2.keeping import Keeping


class Clock:
    """A loop whose time is set, and whose timers are called by hand."""

    def __init__(self):
        self.now = 0.0
        self.timers = []

    def time(self):
        return self.now

    def call_later(self, seconds, act):
        timer = Timer(self.now + seconds, act)
        self.timers.append(timer)
        return timer

    def advance(self, seconds):
        """Let time pass."""
        end = self.now + seconds
        while due := sorted((timer for timer in self.timers if timer.at <= end), key=lambda timer: timer.at):
            self.timers.remove(due[0])
            self.now = due[0].at
            due[0].act()
        self.now = end


class Timer:
    """A timer that can be taken back."""

    def __init__(self, at, act):
        self.at, self.act = at, act

    def cancel(self):
        self.act = lambda: None


class Kept:
    """A connection that notes what is done to it."""

    def __init__(self):
        self.loop = Clock()
        self.idle = False
        self.done = []

    def ping(self, payload):
        self.done.append("ping")

    def abort(self):
        self.done.append("abort")

    def retire(self):
        self.done.append("retire")


@pytest.fixture
def kept():
    """Give the connection."""
    return Kept()


def keep(kept, **settings):
    """Look after a connection."""
    keeping = Keeping(
        kept, KeepAlive(**{"max_pings_without_data": 0, "time_ms": 10_000, "timeout_ms": 3000, **settings})
    )
    keeping.start()
    return keeping


def test_silent_connection_is_pinged_and_ends_without_an_answer(kept):
    """After the time, and its time-out."""
    keep(kept)
    kept.loop.advance(9.9)
    assert kept.done == []
    kept.loop.advance(0.2)
    assert kept.done == ["ping"]
    kept.loop.advance(3.1)
    assert kept.done == ["ping", "abort"]


def test_whoever_answers_stays(kept):
    """And is asked again."""
    keeping = keep(kept)
    for _ in range(3):
        kept.loop.advance(10)
        keeping.answered()
    assert kept.done == ["ping"] * 3


def test_whoever_speaks_is_not_asked(kept):
    """The time runs from the last word."""
    keeping = keep(kept)
    for _ in range(5):
        kept.loop.advance(6)
        keeping.heard = kept.loop.time()
    assert kept.done == []
    kept.loop.advance(10)
    assert kept.done == ["ping"]


def test_connections_without_calls_are_not_asked_unless_that_is_wanted(kept):
    """As the option says."""
    kept.idle = True
    keep(kept)
    kept.loop.advance(30)
    assert kept.done == []
    keep(kept, without_calls=True)
    kept.loop.advance(10)
    assert kept.done == ["ping"]


def test_pings_without_data_have_an_end(kept):
    """Until something is sent."""
    keeping = keep(kept, max_pings_without_data=2)
    for _ in range(5):
        kept.loop.advance(10)
        keeping.answered()
    assert kept.done == ["ping"] * 2
    keeping.sent()
    kept.loop.advance(10)
    assert kept.done == ["ping"] * 3


def test_age(kept):
    """An old connection is told to leave, and ends after the grace."""
    keep(kept, time_ms=0, max_age_ms=100_000, max_age_grace_ms=5000)
    kept.loop.advance(89)
    assert kept.done == []
    kept.loop.advance(22)
    assert kept.done[0] == "retire"
    kept.loop.advance(5)
    assert kept.done == ["retire", "abort"]


def test_nothing_happens_after_the_end(kept):
    """All timers are taken back."""
    keep(kept, max_age_ms=1000).stop()
    kept.loop.advance(100)
    assert kept.done == []


@pytest.mark.parametrize(
    ("idle", "interval", "allowed"), [(False, 61, True), (False, 59, False), (True, 61, False), (True, 7201, True)]
)
def test_pings_of_clients_have_an_interval(kept, idle, interval, allowed):
    """One minute here, two hours without calls; one strike is forgiven."""
    kept.idle = idle
    keeping = keep(kept, time_ms=0, min_ping_interval_ms=60_000, max_ping_strikes=1)
    answers = []
    for _ in range(3):
        kept.loop.now += interval
        answers.append(keeping.allows_ping())
    assert answers == [True, True, allowed]


def test_data_makes_pings_welcome(kept):
    """A client that measures the line while answers come is none that floods."""
    keeping = keep(kept, time_ms=0, max_ping_strikes=1)
    for _ in range(10):
        assert keeping.allows_ping()
        keeping.sent()


class TestOverTheWire:
    """With real connections."""

    @pytest.fixture
    def rpc_settings(self):
        return RpcSettings(keep_alive=KeepAlive(time_ms=50, timeout_ms=60_000, without_calls=True, max_ping_strikes=2))

    async def test_pings(self, client):
        """The server's ping comes by itself, and a client that pings too often is told so in words that gRPC's clients know."""
        kind, flags, _, payload = await client.frame()
        assert (kind, flags) == (FrameType.PING, 0)
        client.send(frames.ping(payload, ack=True))
        for _ in range(4):
            client.send(frames.ping(b"12345678", ack=False))
            await asyncio.sleep(0)
        assert await client.farewell() == (ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")

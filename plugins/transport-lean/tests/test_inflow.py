"""How much clients may send: what nobody has taken counts against the connection until it is taken, or dropped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.frames import ConnectionFault
from charonia_transport_lean.http2.inflow import STREAM_WINDOW, WINDOW, Inflow
from charonia_transport_lean.http2.stream import Stream

PIECE = memoryview(bytes(STREAM_WINDOW))


class Slow:
    """An exchange that takes nothing until it is told to."""

    patient = True

    def data(self, payload):
        """Hold it."""


class Connection:
    """A connection with streams, which notes what is put."""

    def __init__(self, count):
        self.sent = []
        self.last = 2 * count
        self.loop = SimpleNamespace(time=lambda: 0.0)
        self.streams = {}
        for number in range(1, 2 * count, 2):
            stream = Stream(number, 0, STREAM_WINDOW, SimpleNamespace(length=None), 0.0)
            stream.exchange = Slow()
            self.streams[number] = stream

    def put(self, data):
        self.sent.append(data)

    def spend_upkeep(self, what):
        """Allow everything."""


def test_streams_without_room_hold_no_more_than_the_connection_may():
    """The connection's window is not opened again for what waits, so that many streams hold no more than it."""
    connection = Connection(20)
    inflow = Inflow(connection)
    whole = WINDOW // STREAM_WINDOW
    for number in range(1, 2 * whole, 2):
        inflow.data(number, PIECE, len(PIECE), end=False)
    assert connection.sent == []
    with pytest.raises(ConnectionFault, match="the connection's window"):
        inflow.data(2 * whole + 1, PIECE[:1], 1, end=False)


@pytest.mark.parametrize("way", ["consumed", "forget"])
def test_what_is_taken_or_dropped_is_free_again(way):
    """Once it is more than half of the window, the client is told."""
    connection = Connection(20)
    inflow = Inflow(connection)
    half = WINDOW // STREAM_WINDOW // 2
    for number in range(1, 2 * half + 3, 2):
        inflow.data(number, PIECE, len(PIECE), end=False)
    for number in range(1, 2 * half + 3, 2):
        getattr(inflow, way)(connection.streams[number])
    assert frames.window_update(0, (half + 1) * STREAM_WINDOW) in connection.sent


def test_data_of_streams_that_have_ended_is_free_at_once():
    """It is dropped."""
    connection = Connection(0)
    connection.last = 99
    inflow = Inflow(connection)
    for _ in range(3 * WINDOW // STREAM_WINDOW):
        inflow.data(1, PIECE, len(PIECE), end=False)
    assert len(connection.sent) == 5

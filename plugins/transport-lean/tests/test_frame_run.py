"""Frames alike, read together: whatever comes, and however it is cut, the bytes are those of the frames."""

from __future__ import annotations

import asyncio
import socket

import pytest
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.frame_reader import DataReceiver, FrameReader, FrameReceiver
from charonia_transport_lean.http2.frame_run import FrameRun
from charonia_transport_lean.http2.frames import END_STREAM, HEAD_BYTES, PADDED, PREFACE, FrameType, frame_head
from charonia_transport_lean.http2.straight import Straight, straight
from hypothesis import given
from hypothesis import strategies as st

GREETING = PREFACE + frames.settings({})
PATTERN = bytes(range(251)) * 8000
ROOM = 400_000


class Bodies(DataReceiver, FrameReceiver):
    """Has a place for what each stream sends, and notes what else comes, with where each stream was then."""

    def __init__(self):
        self.memory = {stream: bytearray(ROOM) for stream in (1, 3)}
        self.filled = dict.fromkeys(self.memory, 0)
        self.ended = set()
        self.heard = []

    def data(self, stream, payload, _size, *, end):
        at = self.filled[stream]
        self.memory[stream][at : at + len(payload)] = payload
        self._took(stream, len(payload), end=end)

    def place(self, stream):
        return memoryview(self.memory[stream])[self.filled[stream] :]

    def placed(self, stream, size, *, end):
        self._took(stream, size, end=end)

    def _took(self, stream, size, *, end):
        assert stream not in self.ended
        self.filled[stream] += size
        if end:
            self.ended.add(stream)

    def headers(self, stream, block, *, end):
        raise AssertionError("there are none")

    def frame(self, kind, flags, stream, payload):
        self.heard.append((kind, payload, dict(self.filled)))

    def bodies(self):
        return {stream: bytes(self.memory[stream][:filled]) for stream, filled in self.filled.items()}


def put(places, data):
    """Put bytes into places, one after the other, as the system does. Gives how many."""
    size = 0
    for place in places:
        piece = data[size : size + len(place)]
        place[: len(piece)] = piece
        size += len(piece)
    return size


def feed(reader, data, cuts):
    """Have bytes come, in pieces, which are read as a connection reads them. Gives how many were put where a run wanted them."""
    foreseen, last = 0, 0
    for cut in (*sorted(cuts), len(data)):
        piece = memoryview(data)[last:cut]
        while piece:
            count = put([reader.room()], piece)
            reader.received(count)
            piece = piece[count:]
            while piece and (places := reader.run()):
                count = put(places, piece)
                reader.ran(count)
                foreseen += count
                piece = piece[count:]
            while reader.more:
                reader.received(0)
        last = cut
    return foreseen


def data(stream, length, at, flags=0):
    """Write a DATA frame with a part of the pattern."""
    payload = PATTERN[at : at + length]
    if flags & PADDED:
        payload = b"\x07" + payload + bytes(7)
    return frame_head(len(payload), FrameType.DATA, flags, stream) + payload


@st.composite
def conversations(draw):
    """Draw runs of frames, which other frames may interrupt, and what two streams must have got of them."""
    sent, bodies, heard = [], {1: b"", 3: b""}, []
    for _ in range(draw(st.integers(1, 4))):
        stream, length = draw(st.sampled_from([1, 3])), draw(st.sampled_from([4096, 5000, 16_384]))
        for _ in range(draw(st.integers(1, 8))):
            kind = draw(st.sampled_from(["alike"] * 12 + ["other", "shorter", "padded", "empty", "ping", "extension"]))
            if kind in {"ping", "extension"}:
                number = FrameType.PING if kind == "ping" else 0x42
                sent.append(frame_head(8, number, 0, 0 if kind == "ping" else stream) + b"12345678")
                at = {stream: len(body) for stream, body in bodies.items()}
                heard.append((number, b"12345678" if kind == "ping" else b"", at))
                continue
            whose = 4 - stream if kind == "other" else stream
            size = {"shorter": draw(st.integers(0, length)), "empty": 0}.get(kind, length)
            at = draw(st.integers(0, 2000))
            sent.append(data(whose, size, at, PADDED if kind == "padded" else 0))
            bodies[whose] += PATTERN[at : at + size]
    for stream in bodies:
        sent.append(data(stream, 100, 0, END_STREAM))
        bodies[stream] += PATTERN[:100]
    return b"".join(sent), bodies, heard


@given(conversations(), st.data())
def test_bytes_are_the_same_however_they_are_cut(conversation, drawn):
    """Guesses that are right and guesses that are wrong give the same bytes, and other frames come at their place among them."""
    sent, bodies, heard = conversation
    whole = GREETING + sent
    cuts = drawn.draw(st.lists(st.integers(0, len(whole)), max_size=10))
    receiver = Bodies()
    reader = FrameReader(receiver, receiver)
    feed(reader, whole, cuts)
    assert receiver.bodies() == bodies
    assert receiver.ended == {1, 3}
    assert [entry for entry in receiver.heard if entry[0] != FrameType.SETTINGS] == heard
    assert not reader.amid


@pytest.mark.parametrize("length", [4096, 16_384])
def test_message_in_many_frames_is_read_together(length):
    """All of it but its end, and its beginning, which the first read takes; a client that cuts alike is never guessed wrong."""
    body = PATTERN[:ROOM]
    cut = [data(1, length, at) for at in range(0, ROOM - length, length)]
    last = (len(cut) * length, ROOM)
    whole = GREETING + b"".join(cut) + data(1, last[1] - last[0], last[0], END_STREAM)
    receiver = Bodies()
    reader = FrameReader(receiver, receiver)
    foreseen = feed(reader, whole, [20_000])
    assert receiver.bodies()[1] == body
    assert foreseen > ROOM // 2


def test_streams_in_turns_are_seldom_guessed():
    """After a wrong guess none is made for a while: what was read for nothing is little beside the rest."""
    receiver = Bodies()
    reader = FrameReader(receiver, receiver)
    in_turns = [data(stream, 8000, 8000 * at) for at in range(45) for stream in (1, 3)]
    foreseen = feed(reader, GREETING + b"".join(in_turns), range(0, 720_000, 10_000))
    assert receiver.bodies() == dict.fromkeys((1, 3), PATTERN[:360_000])
    assert foreseen < 200_000


def test_small_frames_and_small_rests_are_no_run():
    """Where a run would cost more than it saves, nothing is foreseen, nor is a frame that may be the last."""
    run = FrameRun(memoryview(bytearray(100_000)), 1000)
    place = memoryview(bytearray(30_000))
    assert run.foresee(1, place, 100, 4095) == []
    assert run.foresee(1, place, 22_000, 4096) == []
    assert run.foresee(1, place[: 100 + 2 * 4096], 100, 4096) == []
    sizes = [len(place) for place in run.foresee(1, place[: 101 + 2 * 4096], 100, 4096)]
    assert sizes == [100, HEAD_BYTES, 4096, HEAD_BYTES, 4096, 1000]


@pytest.fixture
def reads(monkeypatch):
    """Note how much is read straight from sockets."""
    sizes = []
    read = Straight.read

    def note(socket, places):
        sizes.append(read(socket, places))
        return sizes[-1]

    monkeypatch.setattr(Straight, "read", note)
    return sizes


async def test_large_calls_are_read_straight_from_the_socket(rpc, connect, reads):
    """As a client sends them that cuts into the least frames; and the answer is what was sent."""
    client = await connect(rpc.port, initial_window_size=1 << 24)
    message = PATTERN[:1_000_000]
    for number in (1, 3):
        client.send(client.call(number, "/t/Echo", message))
        assert (await client.messages(number))[0] == [message]
    assert sum(reads) > len(message)


async def test_client_that_leaves_amid_a_message_is_forgotten(rpc, client, reads):
    """Whether the end comes with data or after it."""
    client.send(client.call(1, "/t/Echo", PATTERN[:1_000_000])[:700_000])
    while sum(reads) < 300_000:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    client.close()
    while rpc.door.guests:  # noqa: ASYNC110 - the same
        await asyncio.sleep(0)


def test_what_comes_through_tls_is_not_in_the_socket():
    """There it is another's; nor is there anything to be read where no socket is."""
    with socket.socket() as plain:
        assert straight(asyncio.BaseTransport({"socket": plain})) is not None
        assert straight(asyncio.BaseTransport({"socket": plain, "ssl_object": object()})) is None
    assert straight(asyncio.BaseTransport()) is None


def test_socket_without_anything_gives_nothing():
    """Neither now, nor when it has ended or broken: who waits for it is told elsewhere."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    place = memoryview(bytearray(10))
    with ours:
        read = straight(asyncio.BaseTransport({"socket": ours})).read
        assert read([place]) == 0
        theirs.send(b"12345")
        assert read([place[:2], place[5:]]) == 5
        theirs.close()
        assert read([place]) == 0
    assert bytes(place) == b"12\0\0\000345\0\0"

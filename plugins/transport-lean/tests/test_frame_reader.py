"""Reading frames: however the bytes are cut, the same frames come out, and what breaks the rules ends the connection."""

from __future__ import annotations

import pytest
from charonia_transport_lean.http2 import frames
from charonia_transport_lean.http2.frame_reader import MAX_FRAME, DataReceiver, FrameReader, FrameReceiver
from charonia_transport_lean.http2.frames import PREFACE, ConnectionFault, ErrorCode, FrameType, frame_head
from hypothesis import given
from hypothesis import strategies as st

GREETING = PREFACE + frames.settings({})
DATA, HEADERS, CONTINUATION, PING = FrameType.DATA, FrameType.HEADERS, FrameType.CONTINUATION, FrameType.PING


class Receiver(DataReceiver, FrameReceiver):
    """Notes what it is told, with the pieces of a stream's data put together; may want data in places of its own."""

    def __init__(self, *, places=False):
        self.heard = []
        self.bodies = {}
        self.sizes = {}
        self.ended = set()
        self.places = bytearray(10_000_000) if places else None
        self.in_place = 0

    def data(self, stream, payload, size, *, end):
        assert stream not in self.ended
        self.bodies[stream] = self.bodies.get(stream, b"") + bytes(payload)
        self.sizes[stream] = self.sizes.get(stream, 0) + size
        if end:
            self.ended.add(stream)

    def place(self, stream):
        return None if self.places is None else memoryview(self.places)

    def placed(self, stream, size, *, end):
        self.in_place += size
        self.data(stream, memoryview(self.places)[:size], size, end=end)

    def headers(self, stream, block, *, end):
        self.heard.append(("headers", stream, block, end))

    def frame(self, kind, flags, stream, payload):
        if kind != FrameType.SETTINGS:
            self.heard.append((kind, flags, stream, payload))


def reader_for(receiver):
    """Make a reader that tells everything to one."""
    return FrameReader(receiver, receiver)


def feed(reader, data, cuts=()):
    """Give a reader bytes, cut into pieces."""
    last = 0
    for cut in (*sorted(cuts), len(data)):
        piece = data[last:cut]
        while piece:
            room = reader.room()
            taken = min(len(room), len(piece))
            room[:taken] = piece[:taken]
            reader.received(taken)
            while reader.more:
                reader.received(0)
            piece = piece[taken:]
        last = cut


def fault_of(data):
    """Give the code with which a connection ends."""
    with pytest.raises(ConnectionFault) as caught:
        feed(reader_for(Receiver()), GREETING + data)
    return caught.value.code


def frame(kind, flags=0, stream=1, payload=b"", length=None):
    """Write a frame."""
    return frame_head(len(payload) if length is None else length, kind, flags, stream) + payload


padded = st.builds(
    lambda body, padding: (bytes((padding,)) + body + b"\0" * padding, body),
    st.binary(max_size=40),
    st.integers(0, 255),
)


@st.composite
def conversations(draw):
    """Draw frames, and what a receiver must have heard of them."""
    sent, heard, bodies, sizes = [], [], {}, {}
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["data", "padded", "headers", "split", "ping", "extension"]))
        stream = draw(st.sampled_from([1, 3, 5]))
        if kind == "data":
            body = draw(st.binary(max_size=300))
            sent.append(frame(DATA, 0, stream, body))
        elif kind == "padded":
            payload, body = draw(padded)
            sent.append(frame(DATA, frames.PADDED, stream, payload))
        elif kind == "headers":
            block, padding = draw(st.binary(max_size=60)), draw(st.integers(0, 20))
            payload = bytes((padding,)) + b"\0\0\0\1\2" + block + b"\0" * padding
            sent.append(frame(HEADERS, frames.END_HEADERS | frames.PADDED | frames.PRIORITY, stream, payload))
            heard.append(("headers", stream, block, False))
        elif kind == "split":
            parts = draw(st.lists(st.binary(max_size=20), min_size=2, max_size=4))
            sent.append(frame(HEADERS, frames.END_STREAM, stream, parts[0]))
            sent += [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
            sent.append(frame(CONTINUATION, frames.END_HEADERS, stream, parts[-1]))
            heard.append(("headers", stream, b"".join(parts), True))
        elif kind == "ping":
            sent.append(frames.ping(b"12345678", ack=False))
            heard.append((PING, 0, 0, b"12345678"))
        else:
            sent.append(frame(0x42, 3, stream, draw(st.binary(max_size=100))))
            heard.append((0x42, 3, stream, b""))
        if kind in {"data", "padded"}:
            bodies[stream] = bodies.get(stream, b"") + body
            sizes[stream] = sizes.get(stream, 0) + len(sent[-1]) - frames.HEAD_BYTES
    return b"".join(sent), heard, bodies, sizes


@given(conversations(), st.data())
def test_frames_are_the_same_however_they_are_cut(conversation, data):
    """Every cut of the bytes gives the same frames, and flow control counts padding."""
    sent, heard, bodies, sizes = conversation
    whole = GREETING + sent
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8))
    receiver = Receiver()
    reader = reader_for(receiver)
    feed(reader, whole, cuts)
    assert receiver.heard == heard
    assert {stream: body for stream, body in receiver.bodies.items() if body or bodies.get(stream)} == {
        stream: body for stream, body in bodies.items() if body
    }
    assert {stream: size for stream, size in receiver.sizes.items() if size} == {
        stream: size for stream, size in sizes.items() if size
    }
    assert not reader.amid


@given(conversations(), st.integers(1, 40))
def test_frames_are_the_same_in_pieces_of_any_size(conversation, size):
    """Byte by byte, or in larger pieces."""
    sent, heard, bodies, _ = conversation
    receiver = Receiver()
    whole = GREETING + sent
    feed(reader_for(receiver), whole, range(0, len(whole), size))
    assert receiver.heard == heard
    assert b"".join(receiver.bodies.get(stream, b"") for stream in (1, 3, 5)) == b"".join(
        bodies.get(stream, b"") for stream in (1, 3, 5)
    )


def test_large_data_goes_where_it_belongs():
    """The payload of a large frame is put into its place, and the frames after it are read as ever."""
    receiver = Receiver(places=True)
    body = bytes(range(256)) * 4000
    feed(reader_for(receiver), GREETING + frame(DATA, frames.END_STREAM, 1, body) + frames.ping(b"12345678", ack=True))
    assert receiver.bodies[1] == body
    assert receiver.ended == {1}
    assert receiver.in_place > 800_000
    assert receiver.heard == [(PING, 1, 0, b"12345678")]


def test_end_of_a_stream_is_told_once_with_its_last_piece():
    """Padding at the end, a frame of padding alone, and an empty frame all end the stream."""
    for payload, flags in (
        (b"\3ab\0\0\0", frames.PADDED),
        (b"\2\0\0", frames.PADDED),
        (b"\0", frames.PADDED),
        (b"", 0),
    ):
        for cut in range(len(payload) + frames.HEAD_BYTES + len(GREETING)):
            receiver = Receiver()
            feed(reader_for(receiver), GREETING + frame(DATA, flags | frames.END_STREAM, 1, payload), [cut])
            assert receiver.ended == {1}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frame(DATA, frames.PADDED, 1, b"\5abc"), ErrorCode.PROTOCOL_ERROR),
        (frame(HEADERS, frames.END_HEADERS | frames.PADDED, 1, b"\5abc"), ErrorCode.PROTOCOL_ERROR),
        (frame(HEADERS, frames.END_HEADERS | frames.PADDED, 1), ErrorCode.FRAME_SIZE_ERROR),
        (frame(HEADERS, frames.END_HEADERS | frames.PRIORITY, 1, b"abc"), ErrorCode.PROTOCOL_ERROR),
        (frame(HEADERS, 0, 1, b"a") + frame(DATA, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frame(HEADERS, 0, 1, b"a") + frame(CONTINUATION, 0, 3, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frame(HEADERS, 0, 1, b"a") + frame(0x42, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frame(CONTINUATION, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frame(DATA, 0, 1, b"", length=MAX_FRAME + 1), ErrorCode.FRAME_SIZE_ERROR),
        (frame(FrameType.SETTINGS, 0, 0, b"", length=100_000), ErrorCode.ENHANCE_YOUR_CALM),
    ],
)
def test_broken_rules_end_the_connection(sent, code):
    """Each with its code, and what would have to be read before the rule is known to be broken is not."""
    assert fault_of(sent) is code


def test_something_else_than_http2_is_told_at_once():
    """The first wrong byte of the preface is enough."""
    with pytest.raises(ConnectionFault):
        feed(reader_for(Receiver()), b"PRI * HTTP/1")


@pytest.mark.parametrize(
    "sent",
    [
        frame(HEADERS, frames.END_HEADERS, 1, b"\x82"),
        frames.ping(b"12345678", ack=False),
        frame(FrameType.SETTINGS, 1, 0),
    ],
    ids=["request", "ping", "acknowledgement"],
)
def test_first_frame_is_the_settings(sent):
    """A client begins with them; until their head has come, nothing is decided."""
    receiver = Receiver()
    reader = reader_for(receiver)
    feed(reader, PREFACE + sent[:8])
    assert reader.amid
    with pytest.raises(ConnectionFault) as caught:
        feed(reader, sent[8:])
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR
    assert receiver.heard == []


def test_flood_of_continuations_ends():
    """A header block has a size, in which its frames' heads count, so that empty ones have an end, too."""
    assert fault_of(frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1) * 10_000) is ErrorCode.ENHANCE_YOUR_CALM
    assert fault_of(frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1, b"x" * 16_000) * 5) is ErrorCode.ENHANCE_YOUR_CALM

"""What is sent: however large the parts of an answer, the frames and the windows, it is the answer, and no more than is allowed."""

from __future__ import annotations

from charonia_transport_lean.http2.frames import END_STREAM, HEAD, HEAD_BYTES, FrameType
from charonia_transport_lean.http2.outflow import Outflow
from charonia_transport_lean.http2.outgoing_stream import OutgoingStream
from hypothesis import given
from hypothesis import strategies as st

PATTERN = bytes(range(251)) * 500
HEAD_FIELDS, TRAILERS = ((":status", "200"),), (("grpc-status", "0"),)


class Wire:
    """Takes what is sent."""

    def __init__(self):
        self.sent = b""
        self.finished = []
        self.progress = 0

    def write(self, data):
        self.sent += data

    def write_large(self, pieces):
        self.sent += b"".join(pieces)

    def progressed(self, size):
        self.progress += size

    def frames(self):
        """Give the frames: type, flags, and payload."""
        found, at = [], 0
        while at < len(self.sent):
            word, flags, number = HEAD.unpack_from(self.sent, at)
            assert number == 1
            at += HEAD_BYTES
            found.append((FrameType(word & 0xFF), flags, self.sent[at : at + (word >> 8)]))
            at += word >> 8
        return found


parts = st.lists(st.integers(0, 100_000), min_size=1, max_size=4)
openings = st.lists(st.tuples(st.booleans(), st.integers(1, 120_000)), max_size=8)


@given(parts, st.sampled_from([16_384, 20_000, 4_194_304]), st.integers(0, 70_000), openings, st.booleans())
def test_answers_are_whole_in_frames_of_any_size(sizes, largest, window, opened, trailers):
    """Each frame is no larger than it may be, no window is overdrawn, and the end comes once, after all the data."""
    wire = Wire()
    outflow = Outflow(wire.write, wire.write_large, wire.finished.append, wire.progressed)
    outflow.limit_frame(largest)
    outflow.window = window
    stream = OutgoingStream(1, window)
    answer = tuple(memoryview(PATTERN)[:size] for size in sizes)
    body = b"".join(answer)
    if trailers:
        outflow.answer(stream, HEAD_FIELDS, answer, TRAILERS)
    else:
        outflow.head(stream, HEAD_FIELDS)
        outflow.data(stream, *answer)
        outflow.end(stream)
    allowed = [window, window]  # of the connection, and of the stream
    for of_stream, size in [*opened, (False, len(body)), (True, len(body))]:
        if size and not stream.ended:
            allowed[of_stream] += size
            if of_stream:
                outflow.widen_stream(stream, size)
            else:
                outflow.widen(size)
        assert len(b"".join(data for kind, _, data in wire.frames() if kind is FrameType.DATA)) <= min(allowed)
    frames = wire.frames()
    assert b"".join(data for kind, _, data in frames if kind is FrameType.DATA) == body
    assert all(len(data) <= largest for _, _, data in frames)
    assert [bool(flags & END_STREAM) for _, flags, _ in frames] == [False] * (len(frames) - 1) + [True]
    assert frames[-1][0] is (FrameType.HEADERS if trailers else FrameType.DATA)
    assert wire.finished == [stream]
    assert outflow.unsent_bytes == stream.unsent_bytes == 0


def test_data_that_is_larger_than_a_frame_is_cut_where_it_lies():
    """Whole frames first, and what is left over is in one frame with what follows it."""
    wire = Wire()
    outflow = Outflow(wire.write, wire.write_large, wire.finished.append, wire.progressed)
    outflow.window = 1 << 20
    stream = OutgoingStream(1, 1 << 20)
    outflow.data(stream, PATTERN[:10], PATTERN[:40_000], PATTERN[:5])
    assert [len(data) for _, _, data in wire.frames()] == [16_384, 16_384, 7247]
    assert wire.progress == 40_015

"""Bodies in chunks: what is read is what llhttp reads, it is passed on from where it came, and what is doubtful is refused."""

from __future__ import annotations

from mmap import mmap

import httptools
import pytest
from charonia_transport_lean import large_body
from charonia_transport_lean.body_buffer import BodyBuffer
from charonia_transport_lean.chunked_body import ChunkedBody
from charonia_transport_lean.large_body import GrowingBody
from hypothesis import given
from hypothesis import strategies as st

HEAD = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(data, cuts=()):
    """Read a body that comes in pieces; gives what it says, and how many bytes are its own. ValueError if it is none, or not whole."""
    pieces = []
    body = ChunkedBody(lambda piece: pieces.append(bytes(piece)))
    taken = last = 0
    for cut in (*sorted(cuts), len(data)):
        if not body.complete:
            taken += body.feed(data[last:cut], 0)
        last = cut
    if not body.complete:
        raise ValueError("it is not whole")
    return b"".join(pieces), taken


def read_if_sound(data, cuts=()):
    """Read a body as `read` does; None if it is none, or not whole."""
    try:
        return read(data, cuts)
    except ValueError:
        return None


class Judge:
    """llhttp's word on a body."""

    def __init__(self):
        self.body = b""
        self.complete = False

    def on_body(self, piece):
        self.body += piece

    def on_message_complete(self):
        self.complete = True

    def judge(self, data):
        """Give what a body says, if it is one and nothing follows it."""
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(HEAD)
        parser.feed_data(data)
        assert self.complete
        return self.body


extensions = st.sampled_from([b"", b";a", b";a=b", b';a="b ; c"', b";a;b=c"])
trailers = st.lists(st.sampled_from([b"A: b\r\n", b"Checksum:\r\n", b"x-y: \xff \t\r\n"]), max_size=3).map(b"".join)
chunks = st.tuples(st.binary(min_size=1, max_size=300), extensions, st.sampled_from([b"", b"0", b"000000000000000000"]))


def written(chunks, trailers):
    """Write a body."""
    lines = [b"%b%x%b\r\n%b\r\n" % (zeros, len(data), more, data) for data, more, zeros in chunks]
    return b"".join(lines) + b"0\r\n" + trailers + b"\r\n"


@given(st.lists(chunks, max_size=6), trailers, st.binary(max_size=20), st.data())
def test_body_is_the_same_however_it_is_cut(chunks, trailers, after, data):
    """Its chunks come out, and its end is found, wherever the pieces of it end."""
    sent = written(chunks, trailers)
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=8))
    assert read(sent, cuts) == (b"".join(chunk for chunk, _, _ in chunks), len(sent))
    assert read(sent + after)[1] == len(sent)
    assert Judge().judge(sent) == b"".join(chunk for chunk, _, _ in chunks)


marks = [
    b"0",
    b"1",
    b"5",
    b"a",
    b"F",
    b";",
    b"=",
    b'"',
    b"\\",
    b":",
    b"A",
    b" ",
    b"\t",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"-",
]
parts = [b"0\r\n\r\n", b"1\r\nx\r\n", b"+", b"x", b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n"]


@given(st.lists(st.sampled_from(marks + parts), max_size=14).map(b"".join), st.integers(1, 5))
def test_what_llhttp_refuses_is_refused(noise, step):
    """Whatever is read here as a body is the same body to llhttp; and pieces make no difference."""
    found = read_if_sound(noise)
    assert read_if_sound(noise, range(0, len(noise), step)) == found
    if found is not None:
        told, end = found
        assert Judge().judge(noise[:end]) == told


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"5 \r\nhello", "is no size"),
        (b"-1\r\n", "is no size"),
        (b"\r\n", "is no size"),
        (b"1" + b"0" * 15 + b"\r\n", "is no size"),
        (b"5;a=\x01\r\n", "is no size"),
        (b"5\r\nhello0\r\n\r\n", "not as long"),
        (b"5\r\nhello\n0\r\n\r\n", "not as long"),
        (b"0\r\nA : b\r\n\r\n", "no field"),
        (b"0\r\nA: b\r\n c\r\n\r\n", "no field"),
        (b"0\r\ncontent-length: 5\r\n\r\n", "no field"),
        (b"5;" + b"a" * 10_000, "too long"),
        (b"0\r\nA: " + b"a" * 10_000 + b"\r\n\r\n", "too long"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_doubtful_chunks_are_refused(sent, reason, step):
    """Each with its reason, as soon as its line has come, in pieces of any size."""
    with pytest.raises(ValueError, match=reason):
        read(sent, range(0, len(sent), step))


def test_pieces_are_passed_on_from_where_they_came():
    """Nothing is copied on the way to whoever keeps them."""
    given, sent = [], b"186a0\r\n%b\r\n0\r\n\r\n" % (b"x" * 100_000)
    ChunkedBody(given.append).feed(sent, 0)
    (piece,) = given
    assert piece.obj is sent
    assert len(piece) == 100_000


class Fixed(mmap):
    """Memory of a system that cannot let it grow."""

    def resize(self, newsize):
        raise SystemError("no mremap here")


@pytest.mark.parametrize("kind", [mmap, Fixed], ids=["growing", "fixed"])
def test_large_body_grows(monkeypatch, kind):
    """Whether or not the system can let memory grow, what came is there."""
    monkeypatch.setattr(large_body, "mmap", kind)
    body, sent = BodyBuffer(None), bytes(range(256)) * 8000
    for at in range(0, len(sent), 30_000):
        body.add(memoryview(sent)[at : at + 30_000])
    whole = body.take()
    assert whole == sent
    assert not whole.readonly


def test_body_that_no_memory_can_hold_is_refused():
    """As wherever memory is asked for."""
    body = GrowingBody()
    with pytest.raises(MemoryError):
        body._grow(1 << 62)
    body.add(b"x")
    assert body.whole() == b"x"

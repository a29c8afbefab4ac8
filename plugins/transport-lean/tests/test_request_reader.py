"""The reader: the same requests, however their bytes are cut; what is refused; what is bounded."""

from __future__ import annotations

import itertools
from contextlib import suppress

import numpy as np
import pytest
from charonia.transport import HttpLimits
from charonia_transport_lean import large_body
from charonia_transport_lean.incoming import RefusedError
from charonia_transport_lean.large_body import LARGE
from charonia_transport_lean.request_reader import RequestReader
from hypothesis import given
from hypothesis import strategies as st

LIMITS = HttpLimits(line=4096, body=1_000_000)


def written(method="POST", target="/v2/models/m/infer", fields=(), body=b"", *, chunks=()):
    """Write a request, with its body as it is or in chunks."""
    lines = [f"{method} {target} HTTP/1.1", "Host: here", *fields]
    if chunks:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    else:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def read(*pieces, limits=LIMITS):
    """Read pieces in their order, as (method, target, fields, body) of each request."""
    reader = RequestReader(limits)
    for piece in pieces:
        reader.feed(piece)
    assert not (reader.in_head)
    assert not (reader.in_body)
    return [(head.method, head.target, dict(head.headers), request.body) for head, request in reader.requests]


requests = st.one_of(
    st.builds(written, body=st.binary(max_size=40), fields=st.sampled_from([(), ("X-A: b",), ("Accept: */*", "x: y")])),
    st.builds(written, method=st.sampled_from(["GET", "HEAD", "PUT"]), target=st.sampled_from(["/", "/v2?a=b", "*"])),
    st.builds(written, chunks=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4)),
)


@given(st.lists(requests, max_size=6), st.data())
def test_requests_are_the_same_however_they_are_cut(sent, data):
    """Whether a head is known or new, and wherever the bytes are cut, the requests are the same."""
    together = b"".join(sent)
    alone = [request for one in sent for request in read(one)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(together)), max_size=8)))
    pieces = [together[start:end] for start, end in zip([0, *cuts], [*cuts, len(together)], strict=True)]
    assert read(*[piece for piece in pieces if piece]) == alone


@given(st.binary(max_size=300), st.lists(requests, max_size=2))
def test_any_bytes_are_read_or_refused(noise, before):
    """Whatever comes, it is requests, the beginning of one, or refused; what came before it stays."""
    reader = RequestReader(LIMITS)
    for request in before:
        reader.feed(request)
    with suppress(RefusedError):
        reader.feed(noise)
    assert len(reader.requests) >= len(before)


def test_fields_are_found_in_any_case_and_are_lists():
    """Look-up ignores case; two fields of one name are one list; text that is no UTF-8 goes through."""
    reader = RequestReader(LIMITS)
    reader.feed(b"GET / HTTP/1.1\r\nhost: h\r\nX-One: 1\r\nx-one: 2\r\nX-Raw: \xff\r\n\r\n")
    headers = reader.requests[0][0].headers
    assert headers["x-ONE"] == "1, 2"
    assert headers.get("X-none") is None
    assert headers.get("X-none", "") == ""
    assert list(headers) == ["host", "X-One", "X-Raw"]
    assert headers["X-Raw"].encode("utf-8", "surrogateescape") == b"\xff"
    assert len(headers) == 3


@pytest.mark.parametrize(
    "smuggled",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX: a\nb\x00c\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n folded: b\r\nContent-Length: 3\r\n\t4\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
        b'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a="\r\nhello\r\n0\r\n\r\n',
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\x00\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_doubtful_ends_are_refused(smuggled):
    """Where two servers could disagree about where a request ends, there is no request."""
    reader = RequestReader(LIMITS)
    with pytest.raises(RefusedError) as refused:
        reader.feed(smuggled)
    assert refused.value.status == 400


def test_what_is_no_http():
    """A method that nobody knows is one that is not allowed, but a greeting of TLS is told apart."""
    for came, status, text in (
        (b"HELLO there\r\n\r\n", 405, "Method Not Allowed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400, "TLS is not spoken here: ask http://"),
    ):
        with pytest.raises(RefusedError, match=text) as refused:
            RequestReader(LIMITS).feed(came)
        assert refused.value.status == status


def test_known_head_does_not_outlive_a_doubt():
    """A head that ends by bare line feeds, before the first empty line as the protocol writes it, is never taken for known."""
    reader = RequestReader(LIMITS)
    try:
        for _ in range(2):
            reader.feed(b"GET /a HTTP/1.1\nHost: here\n\nGET /b HTTP/1.1\r\nHost: here\r\n\r\n")
    except RefusedError:
        return
    assert [head.target for head, _ in reader.requests] == ["/a", "/b", "/a", "/b"]


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * 5000,
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 20_000,
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: a\r\n" * 5000,
    ],
    ids=["target", "field", "fields"],
)
def test_heads_are_bounded(endless):
    """A head that does not end is refused before it fills the memory."""
    with pytest.raises(RefusedError) as refused:
        RequestReader(LIMITS).feed(endless)
    assert refused.value.status == 431
    assert "--http-max-header-size" in str(refused.value)


def test_framing_is_bounded():
    """Chunks whose framing is out of all proportion to what they carry are refused."""
    reader = RequestReader(LIMITS)
    reader.feed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(RefusedError, match="proportion"):
        reader.feed((b"1;" + b"x" * 1000 + b"\r\na\r\n") * 1000)
    small = b"".join(b"1\r\na\r\n" for _ in range(100_000))
    ((*_, body),) = read(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", small, b"0\r\n\r\n")
    assert body == b"a" * 100_000


@pytest.mark.parametrize("chunked", [False, True])
def test_refused_body_is_skipped_to_its_end(chunked):
    """Of a body that is too large the rest is taken and dropped, and its end is known."""
    body = b"x" * 5000
    sent = written(chunks=[body[:2500], body[2500:]]) if chunked else written(body=body)
    reader = RequestReader(HttpLimits(line=4096, body=1000))
    with pytest.raises(RefusedError) as refused:
        reader.feed(sent[:4000])
    assert refused.value.status == 413
    assert reader.in_body
    assert not reader.skip(sent[4000:-3])
    assert reader.skip(sent[-3:])
    assert not reader.requests


def test_nothing_is_upgraded():
    """A request that offers another protocol is answered as it stands, and so is what follows it."""
    offer = written("GET", fields=["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"])
    assert [target for _, target, _, _ in read(offer + written("GET", "/next"), offer)] == [
        "/v2/models/m/infer",
        "/next",
        "/v2/models/m/infer",
    ]


def test_empty_lines_repeat_nothing():
    """Empty lines between requests are passed over, as llhttp does; none of them is taken for the head before it."""
    reader = RequestReader(LIMITS)
    reader.feed(written("GET", "/once") + b"\r\n\r\n" + b"\r\n\r\n")
    reader.feed(b"\r\n\r\n")
    assert [head.target for head, _ in reader.requests] == ["/once"]


def test_any_number_of_requests_may_come_together():
    """The stack does not grow with the number of different requests in one piece."""
    targets = [f"/{number}" for number in range(5_000)]
    assert [target for _, target, _, _ in read(b"".join(written("GET", target) for target in targets))] == targets


@pytest.mark.parametrize("known", [False, True])
@given(st.integers(LARGE, 3_000_000), st.lists(st.integers(0, 3_000_000), max_size=5), st.booleans())
def test_large_body_is_the_same_however_it_comes(known, size, cuts, into_place):
    """Whether it is fed or written into its place, and wherever it is cut, the body is right, aligned, and its receiver's own."""
    body = np.arange(size, dtype=np.uint32).view(np.uint8)[:size].tobytes()
    limits = HttpLimits(line=4096, body=size)
    reader = RequestReader(limits)
    whole = written(body=body) + written("GET", "/next")
    if known:
        reader.feed(whole)
        reader.requests.clear()
    edges = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    for start, end in itertools.pairwise(edges):
        piece = memoryview(whole)[start:end]
        while into_place and reader.large is not None and piece:
            place = reader.large.place()
            count = min(len(place), len(piece))
            place[:count] = piece[:count]
            reader.placed(count)
            piece = piece[count:]
        reader.feed(bytes(piece))
    (_, large), (_, after) = reader.requests
    assert large.body == body
    assert not large.body.readonly
    ends = np.frombuffer(large.body, np.uint8)[-64:].ctypes.data
    assert ends % 64 == 0
    assert after.target == "/next"


def test_nothing_is_read_behind_a_refusal():
    """What follows a request that was refused is no request, even where its head is known."""
    reader = RequestReader(LIMITS)
    reader.feed(written("GET", "/before"))
    with pytest.raises(RefusedError):
        reader.feed(b"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n" + written("GET", "/before"))
    reader.skip(written("GET", "/before"))
    assert [head.target for head, _ in reader.requests] == ["/before"]


def test_body_without_memory_is_refused(monkeypatch):
    """Where there is no memory for a large body, it is refused, at its beginning or later, and nothing more is read."""

    def none(size):
        raise MemoryError

    begun = RequestReader(LIMITS)
    begun.feed(written(body=b"x" * 900_000)[:-1])
    grown = RequestReader(HttpLimits(line=4096, body=10_000_000))
    sent = written(body=b"x" * 9_000_000)
    grown.feed(sent[:100_000])
    monkeypatch.setattr(large_body, "_memory", none)
    begun.feed(b"x")
    assert len(begun.requests) == 1
    for reader, piece in [(grown, sent[100_000:]), (RequestReader(LIMITS), written(body=b"x" * 900_000))]:
        with pytest.raises(RefusedError, match="no memory for a request body of 9") as refused:
            reader.feed(piece)
        assert refused.value.status == 503
        assert not reader.in_body


@pytest.mark.parametrize("large", [False, True])
def test_nothing_follows_the_last_request(large):
    """Behind a request that closes the connection there is no other, even one whose head is known; empty lines are nothing."""
    reader = RequestReader(LIMITS)
    reader.feed(written("GET", "/before"))
    reader.feed(written("GET", "/last", fields=["Connection: close"], body=b"x" * LARGE if large else b"") + b"\r\n")
    with pytest.raises(RefusedError, match="follows the one that closes"):
        reader.feed(written("GET", "/before"))
    assert [head.target for head, _ in reader.requests] == ["/before", "/last"]


@pytest.mark.parametrize("line", [b"GET /\n", b"GET /\r\n", b"GET / HTTP/0.9\r\n", b"GET / HTTP/2.0\r\n"])
def test_other_versions_are_refused(line):
    """What has no version, or another one than 1.0 and 1.1, is refused."""
    with pytest.raises(RefusedError) as refused:
        RequestReader(LIMITS).feed(line + b"Host: here\r\n\r\n")
    assert refused.value.status in {400, 505}


def test_too_large_body_in_one_chunk_ends_where_it_ends():
    """Nobody waits for more of it."""
    reader = RequestReader(HttpLimits(line=4096, body=1000))
    with pytest.raises(RefusedError) as refused:
        reader.feed(written(chunks=[b"x" * 5000]))
    assert refused.value.status == 413
    assert not reader.in_body


@pytest.mark.parametrize("between", [b", ", b"\r\nTransfer-Encoding: "], ids=["one field", "two"])
def test_other_codings_of_the_transfer_are_refused(between):
    """A body in a coding that nobody here undoes is not taken for what is in it."""
    with pytest.raises(RefusedError, match="'gzip, chunked'") as refused:
        RequestReader(LIMITS).feed(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip%bchunked\r\n\r\n0\r\n\r\n" % between
        )
    assert refused.value.status == 501


def test_length_may_have_spaces_around_it():
    """Spaces around the number, which llhttp passes over, change nothing."""
    sent = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:  5 \r\n\r\nhello"
    assert [body for *_, body in read(sent, sent + written("GET", "/next"), sent)] == [
        b"hello",
        b"hello",
        b"",
        b"hello",
    ]


def test_nothing_goes_through_a_tunnel():
    """What follows CONNECT is no request, whatever length it tells."""
    reader = RequestReader(LIMITS)
    with pytest.raises(RefusedError):
        reader.feed(b"CONNECT a:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 31\r\n\r\n" + written("GET", "/through"))
    assert [head.keep for head, _ in reader.requests] == [False]


@given(st.lists(st.binary(min_size=1, max_size=200_000), min_size=1, max_size=6), st.integers(1, 300_000))
def test_large_body_in_chunks_is_the_same(chunks, step):
    """A body in chunks, whose size nobody tells, is right however large it becomes, and its receiver's own where it has become large."""
    sent = written(chunks=chunks) + written("GET", "/next")
    reader = RequestReader(HttpLimits(line=4096, body=2_000_000))
    for start in range(0, len(sent), step):
        reader.feed(sent[start : start + step])
    (_, large), (_, after) = reader.requests
    assert large.body == b"".join(chunks)
    assert isinstance(large.body, bytes) or not large.body.readonly
    assert after.target == "/next"


def test_growing_body_without_memory_is_refused(monkeypatch):
    """Where there is no memory for more of a body in chunks, it is refused, and skipped to its end."""

    def none(size):
        raise MemoryError

    monkeypatch.setattr(large_body, "_mapped", none)
    reader = RequestReader(LIMITS)
    sent = written(chunks=[b"x" * 50_000] * 4)
    with pytest.raises(RefusedError, match="no memory") as refused:
        reader.feed(sent[:-100])
    assert refused.value.status == 503
    assert reader.skip(sent[-100:])
    assert not reader.requests

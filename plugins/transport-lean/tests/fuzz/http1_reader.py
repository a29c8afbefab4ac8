"""The reader of HTTP/1.1 as a target: whatever comes, and however it is cut, it is the same requests, or refused."""

from __future__ import annotations

from charonia.transport import HttpLimits
from charonia_transport_lean.incoming import RefusedError
from charonia_transport_lean.request_reader import RequestReader

LIMITS = HttpLimits(line=1 << 16, body=1 << 20)
LARGE = 48
"""What counts as a large body here, so that the few bytes of an input are enough for one."""


def check(data: bytes) -> None:
    """Read a stream in one piece, and in pieces whose size its first byte tells.

    Raises:
        AssertionError: the two differ, or a state is left that cannot be.
        Exception: whatever else the reader should not raise.
    """
    if not data:
        return
    step, stream = data[0] % 80 + 1, data[1:]
    whole = _read([stream], into_place=False)
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    for into_place in (False, True):
        cut = _read(pieces, into_place=into_place)
        assert cut == whole, f"in pieces of {step} bytes it is {cut}, as a whole {whole}"


def _read(pieces: list[bytes], *, into_place: bool) -> tuple[list[tuple[object, ...]], bool]:
    """Give the requests that pieces bring, and whether what follows them is refused."""
    reader = RequestReader(LIMITS, LARGE)
    refused = False
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest and into_place and reader.large is not None:
                place = reader.large.place()[: len(rest)]
                place[:] = rest[: len(place)]
                reader.placed(len(place))
                rest = rest[len(place) :]
            reader.feed(bytes(rest))
    except RefusedError:
        refused = True
        reader.skip(b"".join(pieces))
    assert not (reader.in_head and reader.in_body)
    assert (reader.large is None) or reader.in_body
    return [_told(incoming) for incoming in reader.requests], refused


def _told(incoming) -> tuple[object, ...]:
    head, request = incoming
    fields = dict(head.headers)
    return head.method, head.target, fields, bytes(request.body), head.http_1_1, head.keep

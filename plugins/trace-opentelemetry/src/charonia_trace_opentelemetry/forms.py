"""Forms of OTLP: spans of requests that look alike, written once, with holes for what each request has of its own.

A form is written by protobuf, with marks for all numbers and times: where these are in what is written, there the holes are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from charonia_protos.wire import length_delimited
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Client", "Form", "form_of"]

Client: TypeAlias = tuple[bool, bool]
"""Whether a client has a span, below which its request is, and whether it is another process."""

_MODEL_MOMENTS = ("REQUEST_START", "QUEUE_START", "REQUEST_END")
_QUEUE_MOMENTS = ("QUEUE_START", "COMPUTE_START")
_COMPUTE_MOMENTS = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")
_BELOW = {*_MODEL_MOMENTS, *_COMPUTE_MOMENTS}

_TRACE, _MODEL, _ABOVE, _CLIENT, _QUEUE, _COMPUTE, _STATE, _FAILURE, _OWN, _FIRST_TIME = range(10)
_SPANS = 2  # of the message `ScopeSpans`
_MARK = b"\xfe\xff" * 8
_HOLE = re.compile(rb"(?:\xfe\xff){3,7}\xfe(.)", re.DOTALL)
"""A mark: 8 or 16 bytes, of which the last is the number of a piece. They are in no text."""


class Form(NamedTuple):
    """The spans of requests that look alike, as fields of `ScopeSpans`.

    The pieces for its holes are, in this order:

    - the numbers of the trace (16 bytes) and of spans (8 bytes): the model's, the one above, the client's, the queue's, the
      execution's;
    - what follows in spans in which nothing can fail, in those in which it can, and in the model's;
    - the times, in their order (8 bytes);
    - the heads.

    Attributes:
        text: the spans, with a `%b` for each hole.
        chosen: gives, of the pieces, one for each hole.
        heads: gives what stands before each span, by the sizes of the three that follow.
    """

    text: bytes
    chosen: Callable[[Sequence[bytes]], tuple[bytes, ...]]
    heads: Callable[[int, int, int], Sequence[bytes]]


@lru_cache(1024)
def form_of(model: str, version: int, moments: tuple[str, ...], client: Client | None) -> Form:
    """Write the form for all requests that have the same of these.

    Args:
        model: the name of the model.
        version: its version.
        moments: the names of all that has happened, in the order of time.
        client: the client that has asked; None if it was a model that did.
    """
    text, holes = b"", []
    spans: list[tuple[int, int]] = []
    for span, following in _specimens(model, version, moments, client):
        written = span.SerializeToString()
        parts = _HOLE.split(written)  # every other one is the number of a piece
        text += b"%b" + b"%b".join(part.replace(b"%", b"%%") for part in parts[::2]) + b"%b"
        holes += [_FIRST_TIME + len(moments) + len(spans), *(ord(part) for part in parts[1::2]), following]
        spans.append((len(written), following - _STATE))

    @lru_cache(64)
    def heads(*following: int) -> Sequence[bytes]:
        return [length_delimited(_SPANS, size + following[which]) for size, which in spans]

    return Form(text, itemgetter(*holes), heads)


def _specimens(model: str, version: int, moments: tuple[str, ...], client: Client | None) -> Iterator[tuple[Span, int]]:
    """Give the spans of such a request, whose numbers and times are marks, each with the piece that follows.

    Hits of the response cache and ensembles have no queue or execution of their own.
    """
    times = {name: int.from_bytes(_mark(piece, 8), "little") for piece, name in enumerate(moments, _FIRST_TIME)}
    if "COMPUTE_START" in moments:
        yield _specimen("queue", _QUEUE, _MODEL, [times[name] for name in _QUEUE_MOMENTS], {}), _STATE
        compute = {name: times[name] for name in _COMPUTE_MOMENTS}
        yield _specimen("compute", _COMPUTE, _MODEL, list(compute.values()), compute), _FAILURE
    if client is not None:
        below, remote = client
        told = {name: ns for name, ns in times.items() if name not in _BELOW}
        request = _specimen("InferRequest", _ABOVE, _CLIENT, list(times.values()), told)
        request.kind = Span.SPAN_KIND_SERVER
        if not below:
            request.ClearField("parent_span_id")
        if remote:
            request.flags |= SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
        yield request, _FAILURE
    told = {name: times[name] for name in _MODEL_MOMENTS}
    in_model = _specimen(model, _MODEL, _ABOVE, list(told.values()), told)
    in_model.attributes.add(key="triton.model_name").value.string_value = model
    in_model.attributes.add(key="triton.model_version").value.int_value = version
    if client is not None:
        in_model.attributes.add(key="triton.trace_parent_id").value.int_value = 0
    yield in_model, _OWN


def _specimen(name: str, number: int, above: int, lasting: Sequence[int], told: Mapping[str, int]) -> Span:
    """Give a span that lasts from the first of some times to the last, with what is told of its time as events."""
    return Span(
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        flags=SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK,
        trace_id=_mark(_TRACE, 16),
        span_id=_mark(number, 8),
        parent_span_id=_mark(above, 8),
        start_time_unix_nano=lasting[0],
        end_time_unix_nano=lasting[-1],
        events=[Span.Event(name=moment, time_unix_nano=ns) for moment, ns in told.items()],
    )


def _mark(piece: int, size: int) -> bytes:
    return _MARK[: size - 1] + bytes((piece,))

"""Finished traces as messages of OTLP, OpenTelemetry's protocol.

The server's own spans are written byte by byte. They all look alike, so that little more than their numbers and times is left to
write, which takes a fifth of the time in which the SDK encodes a span. What models' own code adds may be anything: the SDK
encodes that.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from random import getrandbits
from typing import TYPE_CHECKING, TypeAlias

from charonia_protos.wire import length_delimited, varint
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode

from charonia_trace_opentelemetry.spans import ModelSpan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from charonia.trace import Trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from charonia_trace_opentelemetry.spans import Additions

__all__ = ["MessageWriter"]

_Moments: TypeAlias = "Sequence[tuple[str, int]]"
"""What happened when, in nanoseconds since 1970 and in this order."""

_COMPUTE = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")
_REQUEST = ("REQUEST_START", "QUEUE_START", "REQUEST_END")
_BELOW = frozenset(_COMPUTE + _REQUEST)

# of OTLP's message `Span`: numbers of fields, and whole fields
_STATE, _NAME, _ATTRIBUTES, _EVENTS, _STATUS = 3, 5, 9, 11, 15
_TRACE_ID, _SPAN_ID, _ABOVE, _START, _END = b"\x0a\x10", b"\x12\x08", b"\x22\x08", b"\x39", b"\x41"
_INTERNAL, _SERVER = b"\x30\x01", b"\x30\x02"
_ABOVE_IS_HERE, _ABOVE_IS_ELSEWHERE = (b"\x85\x01" + flags.to_bytes(4, "little") for flags in (0x100, 0x300))


class MessageWriter:
    """Writes what a server has to send.

    Args:
        resource: what all spans say about the server.
        scope: what those of the server itself say about this package.
    """

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope
        nothing = ReadableSpan("", SpanContext(1, 1, is_remote=False), resource=resource, instrumentation_scope=scope)
        (of_resource,) = encode_spans([nothing]).resource_spans
        self._scope_head = _field(1, of_resource.scope_spans[0].scope.SerializeToString())
        of_resource.ClearField("scope_spans")
        self._resource_head = of_resource.SerializeToString()

    def message(self, spans: Iterable[ReadableSpan | ModelSpan]) -> bytes:
        """Write an `ExportTraceServiceRequest`.

        Args:
            spans: those that models' code has made, and those of requests, each of which brings the spans around and below it.
        """
        own: list[bytes] = []
        others: list[ReadableSpan] = []
        for span in spans:
            if not isinstance(span, ModelSpan):
                others.append(span)
                continue
            moments = {name: ns + span.origin.offset_ns for name, ns in span.trace.moments.items()}
            own += _around_and_below(span, moments)
            if span.added is None:
                own.append(_in_model(span, _chosen(moments, _REQUEST)))
            else:
                others.append(self._readable(span, span.added, _chosen(moments, _REQUEST)))
        message = encode_spans(others).SerializeToString() if others else b""
        if own:  # parts of a message that follow each other are one message
            of_scope = _field(2, self._scope_head + b"".join(own))
            message += _field(1, self._resource_head + of_scope)
        return message

    def _readable(self, span: ModelSpan, added: Additions, moments: _Moments) -> ReadableSpan:
        """Give the span of a request in its model, with what was added, as the SDK has it."""
        error = span.trace.error
        return ReadableSpan(
            span.trace.model,
            span.place(span.span_id),
            span.place(span.above),
            self._resource,
            added.attributes | _attributes(span.trace),
            [*(Event(name, timestamp=ns) for name, ns in moments), *added.events],
            added.links,
            status=Status(StatusCode.ERROR, error) if error else added.status,
            start_time=moments[0][1],
            end_time=moments[-1][1],
            instrumentation_scope=self._scope,
        )


def _in_model(span: ModelSpan, moments: _Moments) -> bytes:
    """Write the span of a request in its model, to which nothing was added."""
    trace = span.trace
    told = [_field(_NAME, trace.model.encode()), _INTERNAL, _ABOVE_IS_HERE, _status(trace)]
    told += [_attribute(name, value) for name, value in _attributes(trace).items()]
    return _span(span, span.span_id, span.above, moments, [*told, *_events(moments)])


def _around_and_below(span: ModelSpan, moments: Mapping[str, int]) -> Iterator[bytes]:
    """Write the span of the whole request of a client, and those of queue and execution where there was one.

    Hits of the response cache and ensembles have none of their own.
    """
    if compute := _chosen(moments, _COMPUTE):
        queue = [("QUEUE_START", moments["QUEUE_START"]), compute[0]]
        yield _span(span, _new_id(), span.span_id, queue, [_QUEUE_SPAN])
        told = [_COMPUTE_SPAN, _status(span.trace), *_events(compute)]
        yield _span(span, _new_id(), span.span_id, compute, told)
    if span.trace.parent is None:
        client = span.origin.client
        whole = sorted(moments.items(), key=itemgetter(1))
        told = [_REMOTE_REQUEST if client.is_remote else _REQUEST_SPAN, _status(span.trace)]
        told += _events([moment for moment in whole if moment[0] not in _BELOW])
        yield _span(span, span.above, client.span_id, whole, told)


def _span(of: ModelSpan, span_id: int, above: int, lasting: _Moments, told: Iterable[bytes]) -> bytes:
    """Write a span, as one of `ScopeSpans`, that lasts from the first of some moments to the last.

    Args:
        of: the trace.
        span_id: its number.
        above: the number of the span above; 0 for none.
        lasting: the moments.
        told: all other fields.
    """
    origin = of.origin
    parts = [
        _TRACE_ID,
        origin.trace_id.to_bytes(16, "big"),
        _SPAN_ID,
        span_id.to_bytes(8, "big"),
        _START,
        lasting[0][1].to_bytes(8, "little"),
        _END,
        lasting[-1][1].to_bytes(8, "little"),
        *told,
    ]
    if above:
        parts += _ABOVE, above.to_bytes(8, "big")
    if origin.state:
        parts.append(_field(_STATE, origin.state.to_header().encode()))
    return _field(2, b"".join(parts))


def _chosen(moments: Mapping[str, int], names: Iterable[str]) -> _Moments:
    """Choose moments, which come one after the other."""
    return [(name, moments[name]) for name in names if name in moments]


def _events(moments: _Moments) -> list[bytes]:
    written = []
    for name, ns in moments:
        head, name_field = _event_parts(name)
        written.append(head + ns.to_bytes(8, "little") + name_field)
    return written


@lru_cache(64)
def _event_parts(name: str) -> tuple[bytes, bytes]:
    """Write an event up to its time, and what stands behind that."""
    time_tag, name_field = b"\x09", _field(2, name.encode())
    return length_delimited(_EVENTS, 1 + 8 + len(name_field)) + time_tag, name_field


def _status(trace: Trace) -> bytes:
    return _field(_STATUS, _field(2, trace.error.encode()) + b"\x18\x02") if trace.error else b""


def _attributes(trace: Trace) -> dict[str, str | int]:
    told: dict[str, str | int] = {
        "triton.model_name": trace.model,
        "triton.model_version": trace.version,
        "triton.trace_id": trace.number,
        "triton.trace_parent_id": 0 if trace.parent is None else trace.parent.number,
    }
    return told | ({"triton.request_id": trace.request_id} if trace.request_id else {})


@lru_cache(1024)  # the model's, of which there are few
def _attribute(name: str, value: str | int) -> bytes:
    written = b"\x18" + varint(value) if isinstance(value, int) else _field(1, value.encode())
    return _field(_ATTRIBUTES, _field(1, name.encode()) + _field(2, written))


def _field(number: int, content: bytes) -> bytes:
    """Write a string, bytes or message field."""
    return length_delimited(number, len(content)) + content


def _new_id() -> int:
    return getrandbits(64)


_QUEUE_SPAN = _field(_NAME, b"queue") + _INTERNAL + _ABOVE_IS_HERE
_COMPUTE_SPAN = _field(_NAME, b"compute") + _INTERNAL + _ABOVE_IS_HERE
_REQUEST_SPAN = _field(_NAME, b"InferRequest") + _SERVER + _ABOVE_IS_HERE
_REMOTE_REQUEST = _field(_NAME, b"InferRequest") + _SERVER + _ABOVE_IS_ELSEWHERE

"""Finished traces as messages of OTLP, OpenTelemetry's protocol.

The server's own spans all look alike, and are written by filling in forms. What models' own code makes may be anything: the SDK
encodes that, which takes ten times as long.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from random import getrandbits
from typing import TYPE_CHECKING

from charonia_protos.wire import length_delimited, varint
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext

from charonia_trace_opentelemetry.forms import form_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.trace import Trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.util.types import Attributes

    from charonia_trace_opentelemetry.spans import Additions, ModelSpan

__all__ = ["MessageWriter"]

_log = logging.getLogger("charonia.trace_opentelemetry.otlp")

_SERVERS = {f"triton.{name}" for name in ("model_name", "model_version", "trace_id", "trace_parent_id", "request_id")}
"""The attributes of a request's span, whatever a model's code would have them be."""

_STATE, _ATTRIBUTES, _STATUS = 3, 9, 15  # of OTLP's message `Span`


class MessageWriter:
    """Writes what a server has to send.

    Args:
        resource: what all spans say about the server.
        scope: what those of the server itself say about this package.
    """

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        nothing = ReadableSpan("", SpanContext(1, 1, is_remote=False), resource=resource, instrumentation_scope=scope)
        (of_resource,) = encode_spans([nothing]).resource_spans
        self._scope_head = _field(1, of_resource.scope_spans[0].scope.SerializeToString())
        of_resource.ClearField("scope_spans")
        self._resource_head = of_resource.SerializeToString()

    def message(self, traces: Sequence[tuple[Trace, ModelSpan]], spans: Sequence[ReadableSpan]) -> bytes:
        """Write an `ExportTraceServiceRequest`.

        Args:
            traces: those of requests with their spans in their models, each of which brings the spans around and below it.
            spans: those that models' code has made.
        """
        message = encode_spans(spans).SerializeToString() if spans else b""
        if traces:  # parts of a message that follow each other are one message
            of_scope = _field(2, self._scope_head + b"".join([_filled(trace, span) for trace, span in traces]))
            message += _field(1, self._resource_head + of_scope)
        return message


def _filled(trace: Trace, span: ModelSpan) -> bytes:
    """Fill in the form of a request: write its spans in, around and below its model."""
    origin = span.origin
    client, offset_ns = origin.client, origin.offset_ns
    moments = trace.moments
    names = tuple(sorted(moments, key=moments.__getitem__))
    asked = (client.is_valid, client.is_remote) if trace.parent is None else None
    form = form_of(trace.model, trace.version, names, asked)
    state = _field(_STATE, origin.state.to_header().encode()) if origin.state else b""
    failure = state + _field(_STATUS, _string(2, trace.error) + b"\x18\x02") if trace.error else state
    own = _added(span) + failure + _told(trace)
    new_ids = getrandbits(128).to_bytes(16, "big")
    pieces = [
        origin.trace_id.to_bytes(16, "big"),
        span.span_id.to_bytes(8, "big"),
        span.above.to_bytes(8, "big"),
        client.span_id.to_bytes(8, "big"),
        new_ids[:8],
        new_ids[8:],
        state,
        failure,
        own,
        *[(ns + offset_ns).to_bytes(8, "little") for ns in sorted(moments.values())],
        *form.heads(len(state), len(failure), len(own)),
    ]
    return form.text % form.chosen(pieces)


def _told(trace: Trace) -> bytes:
    """Write the attributes of a request that no other request has."""
    told = _attribute("triton.trace_id", b"\x18" + varint(trace.number))
    if trace.parent is not None:
        told += _attribute("triton.trace_parent_id", b"\x18" + varint(trace.parent.number))
    if trace.request_id:
        told += _attribute("triton.request_id", _string(1, trace.request_id))
    return told


def _added(span: ModelSpan) -> bytes:
    """Write what a model's own code has added to a request's span. Where that cannot be, the request has its own spans."""
    if span.added is None:
        return b""
    try:
        return _as_the_sdk_has_it(span, span.added)
    except Exception as error:  # noqa: BLE001 - the border to models' code
        _log.warning("what a model's code has added to the span of a request cannot be written: %s", error)
        return b""


def _as_the_sdk_has_it(span: ModelSpan, added: Additions) -> bytes:
    """Write additions without what the span has of the server."""
    readable = ReadableSpan(
        "",
        span.get_span_context(),
        attributes=_clean({name: value for name, value in added.attributes.items() if name not in _SERVERS}),
        events=[Event(event.name, _clean(event.attributes), event.timestamp) for event in added.events],
        links=[Link(link.context, _clean(link.attributes)) for link in added.links],
        status=added.status,
    )
    (written,) = encode_spans([readable]).resource_spans[0].scope_spans[0].spans
    return Span(
        attributes=written.attributes, events=written.events, links=written.links, status=written.status
    ).SerializeToString()


def _clean(attributes: Attributes) -> Attributes:
    """Make attributes such as the SDK keeps of those that it is given: what cannot be one is text, or is left out."""
    return BoundedAttributes(attributes=attributes)


def _attribute(name: str, value: bytes) -> bytes:
    return _attribute_head(name, len(value)) + value


@lru_cache(1024)
def _attribute_head(name: str, size: int) -> bytes:
    """Write what stands before the value of an attribute, a message of so many bytes."""
    head = _field(1, name.encode()) + length_delimited(2, size)
    return length_delimited(_ATTRIBUTES, len(head) + size) + head


def _string(number: int, text: str) -> bytes:
    """Write a string field. Halves of characters, which texts of others may have, are written as escapes."""
    return _field(number, text.encode(errors="backslashreplace"))


def _field(number: int, content: bytes) -> bytes:
    """Write a bytes or message field."""
    return length_delimited(number, len(content)) + content

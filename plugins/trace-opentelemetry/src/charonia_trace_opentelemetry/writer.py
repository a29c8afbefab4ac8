"""The trace mode `opentelemetry`: spans, with the reference's names, attributes and events, for a collector."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from charonia import __version__
from charonia.trace import TIMESTAMPS
from charonia.trace_writer import TraceWriter
from opentelemetry import context as contexts
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from charonia_trace_opentelemetry.export import SpanExport
from charonia_trace_opentelemetry.model_spans import of_server, serve_models, unserve_models
from charonia_trace_opentelemetry.options import read_options
from charonia_trace_opentelemetry.spans import ModelSpan, Moments, Place, ServerResource, SpanMaker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from charonia.trace import Trace
    from charonia.trace_settings import TraceSetting
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["OpenTelemetryWriter"]

_Field: TypeAlias = Callable[[str], str | None]
_SERVICE = "charonia"
_REQUEST = ("REQUEST_START", "QUEUE_START", "REQUEST_END")
_QUEUE = ("QUEUE_START", "COMPUTE_START")
_COMPUTE = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")
_PROPAGATOR = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


@dataclass(slots=True)
class _Mark:
    """What is known of a trace from its beginning.

    Attributes:
        span: the span of its request in the model.
        root: the span around that, where no request of ours is above; else None.
        client: the span of the client, above the root; one that is not valid if there is none.
        context: the client's context, to which the server's provider is added.
        offset_ns: from monotonic times to those since 1970. One for all that a client's request causes, so that clocks which
            are set meanwhile do not tear it.
    """

    span: ModelSpan
    root: Place | None
    client: SpanContext
    context: Context
    offset_ns: int


class OpenTelemetryWriter(TraceWriter):
    """Makes spans of traces, and exports them.

    Args:
        setting: has the options.

    Raises:
        CharoniaError: an option is not there, or has a value that cannot be.
    """

    levels: ClassVar[tuple[str, ...]] = (TIMESTAMPS,)
    origin_field: ClassVar[str] = "traceparent"

    def __init__(self, setting: TraceSetting) -> None:
        options = read_options(setting.options)
        super().__init__(replace(setting, options=options.describe()))
        environment = OTELResourceDetector().detect().attributes  # OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
        known = Resource.create({SERVICE_NAME: _SERVICE, **environment, **options.resource})
        resource = ServerResource(known.attributes, known.schema_url)
        self._export = SpanExport(options)
        self._ids = RandomIdGenerator()
        self._make = SpanMaker(resource, InstrumentationScope("charonia", __version__))
        self._provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._export.processor)
        self._context = of_server(self._provider, contexts.Context())
        serve_models(self._provider)

    def origin(self, field: _Field) -> Context | None:
        """Find the client's context. As in the reference, a client that has one is traced, whether it is sampled or not."""
        context = _PROPAGATOR.extract(field, self._context, _FIELDS)
        return context if get_current_span(context).get_span_context().is_valid else None

    def begin(self, trace: Trace, origin: object | None) -> None:
        """Give a trace its place: below its client, its maker, or in process the span that the caller is in."""
        if trace.parent is not None:
            above: _Mark = trace.parent.mark
            maker = _inner(trace.parent)
            span = ModelSpan(self._below(maker), maker)
            trace.mark = _Mark(span, None, above.client, above.context, above.offset_ns)
            return
        context = origin if isinstance(origin, contexts.Context) else self._around()
        client = INVALID_SPAN_CONTEXT if context is self._context else get_current_span(context).get_span_context()
        number = client.trace_id or self._ids.generate_trace_id()
        root = Place(number, self._ids.generate_span_id(), client.trace_state)
        span = ModelSpan(self._below(root), root)
        trace.mark = _Mark(span, root, client, context, time.time_ns() - time.monotonic_ns())

    def _around(self) -> Context:
        """Give the context of the caller, in process."""
        current = contexts.get_current()
        return of_server(self._provider, current) if current else self._context

    def _below(self, above: Place) -> Place:
        return Place(above.trace, self._ids.generate_span_id(), above.state)

    @contextmanager
    def current(self, trace: Trace) -> Iterator[None]:
        """Make the request's span the current one."""
        token = contexts.attach(_within(trace.mark))
        try:
            yield
        finally:
            contexts.detach(token)

    def id_of(self, trace: Trace) -> str:
        """Give the id that OpenTelemetry knows the trace by."""
        mark: _Mark = trace.mark
        return format_trace_id(mark.span.place.trace)

    def context_of(self, trace: Trace) -> Mapping[str, str]:
        """Give `traceparent`, and `tracestate` and `baggage` where there are any."""
        fields: dict[str, str] = {}
        _PROPAGATOR.inject(fields, _within(trace.mark))
        return fields

    def end(self, trace: Trace) -> None:
        """Export the spans of a trace."""
        mark: _Mark = trace.mark
        mark.span.ended = True
        self._export.take(partial(self._spans, trace, mark))

    def _spans(self, trace: Trace, mark: _Mark) -> Iterator[ReadableSpan]:
        moments = Moments(trace.moments, mark.offset_ns)
        status = Status(StatusCode.ERROR, trace.error) if trace.error else None
        yield from self._inside(mark.span.place, moments, status)
        yield self._around_model(trace, moments, status)
        if mark.root is not None:
            yield self._make(
                "InferRequest",
                mark.root,
                mark.client if mark.client.is_valid else None,
                moments,
                kind=SpanKind.SERVER,
                status=status,
                events=moments.without(_COMPUTE + _REQUEST).events(),
            )

    def _inside(self, model: Place, moments: Moments, status: Status | None) -> Iterator[ReadableSpan]:
        """Make the spans of queue and execution, where there was one; hits of the response cache and ensembles have none."""
        compute = moments.only(_COMPUTE)
        if compute.at:
            above = model.context()
            yield self._make("queue", self._below(model), above, moments.only(_QUEUE))
            yield self._make("compute", self._below(model), above, compute, status=status, events=compute.events())

    def _around_model(self, trace: Trace, moments: Moments, status: Status | None) -> ReadableSpan:
        """Make the span of the request in its model, with what the model's own code has added."""
        span: ModelSpan = trace.mark.span
        request = moments.only(_REQUEST)
        return self._make(
            trace.model,
            span.place,
            span.parent.context(),
            request,
            status=status or span.status,
            attributes=span.attributes | _attributes(trace),
            events=[*request.events(), *span.events],
            links=span.links,
        )

    def close(self) -> None:
        """Export what is left, for a few seconds at most."""
        unserve_models(self._provider)
        self._export.close()


class _Fields(Getter[_Field]):
    """Reads the header fields of a request."""

    def get(self, carrier: _Field, key: str) -> list[str] | None:
        value = carrier(key)
        return None if value is None else [value]

    def keys(self, carrier: _Field) -> list[str]:
        del carrier
        return []


_FIELDS = _Fields()


def _attributes(trace: Trace) -> dict[str, str | int]:
    told: dict[str, str | int] = {
        "triton.model_name": trace.model,
        "triton.model_version": trace.version,
        "triton.trace_id": trace.number,
        "triton.trace_parent_id": 0 if trace.parent is None else trace.parent.number,
    }
    return told | ({"triton.request_id": trace.request_id} if trace.request_id else {})


def _within(mark: _Mark) -> Context:
    """Give the context in which a request is executed."""
    return set_span_in_context(mark.span, mark.context)


def _inner(maker: Trace) -> Place:
    """Find the span below which a request belongs that a model makes: one of the model's own, if it is made within such."""
    own: Place = maker.mark.span.place
    current = get_current_span().get_span_context()
    # an ensemble's steps are made on the thread of the step before, whose span is none of the ensemble's
    if maker.composed or current.trace_id != own.trace:
        return own
    return Place(current.trace_id, current.span_id, current.trace_state)

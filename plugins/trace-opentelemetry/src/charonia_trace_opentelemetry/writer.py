"""The trace mode `opentelemetry`: spans, with the reference's names, attributes and events, for a collector."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from random import getrandbits
from typing import TYPE_CHECKING, ClassVar, TypeAlias, cast

from charonia import __version__
from charonia.trace import TIMESTAMPS
from charonia.trace_writer import TraceWriter
from opentelemetry import context as contexts
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN_CONTEXT, TraceState, format_trace_id, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from charonia_trace_opentelemetry.export import SpanExport
from charonia_trace_opentelemetry.model_spans import of_server, serve_models, unserve_models
from charonia_trace_opentelemetry.options import read_options
from charonia_trace_opentelemetry.otlp import MessageWriter
from charonia_trace_opentelemetry.spans import ModelSpan, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextvars import Token

    from charonia.metric_families import MetricFamily
    from charonia.trace import Trace
    from charonia.trace_settings import TraceSetting
    from opentelemetry.context import Context

__all__ = ["OpenTelemetryWriter"]

_Field: TypeAlias = Callable[[str], str | None]
_SERVICE = "charonia"
_SPAN_ID_BITS = 64
_SPAN_ID = (1 << _SPAN_ID_BITS) - 1
_NO_STATE = TraceState()
_PROPAGATOR = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


class OpenTelemetryWriter(TraceWriter):
    """Makes spans of traces, and sends them.

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
        resource = Resource.create({SERVICE_NAME: _SERVICE, **environment, **options.resource})
        self._messages = MessageWriter(resource, InstrumentationScope("charonia", __version__))
        self._export = SpanExport(options, self._message)
        self._provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._export)
        self._context = of_server(self._provider, contexts.Context())
        self._lock = threading.Lock()  # guards the marks of traces, which are made once
        serve_models(self._provider)

    def origin(self, field: _Field) -> Context | None:
        """Find the client's context. As in the reference, a client that has one is traced, whether it is sampled or not."""
        context = _PROPAGATOR.extract(field, self._context, _FIELDS)
        return context if get_current_span(context).get_span_context().is_valid else None

    def caller(self) -> Context | None:
        """Find the context that a caller in process is in."""
        current = contexts.get_current()
        return of_server(self._provider, current) if current else None

    def begin_below(self, trace: Trace) -> None:
        """Give a trace its place below the request that has caused it."""
        assert trace.parent is not None  # noqa: S101 - only such begin here
        maker = self._span(trace.parent)
        trace.mark = ModelSpan(maker.origin, getrandbits(_SPAN_ID_BITS), _inner(trace.parent, maker))

    def _span(self, trace: Trace) -> ModelSpan:
        """Give the span of a request in its model, which is made when it is first asked for: of most when it is sent."""
        with self._lock:
            if trace.mark is None:
                trace.mark = self._begun(trace)
        span: ModelSpan = trace.mark
        return span

    def _begun(self, trace: Trace) -> ModelSpan:
        """Give a client's request its place: below its client, or in process below the span that the caller is in."""
        bits = getrandbits(4 * _SPAN_ID_BITS)  # all that is random at once; that a number is 0 is not to be expected
        trace_id, state, client = bits >> 2 * _SPAN_ID_BITS, _NO_STATE, INVALID_SPAN_CONTEXT
        context = self._context if trace.origin is None else cast("Context", trace.origin)
        if trace.origin is not None and (around := get_current_span(context).get_span_context()).is_valid:
            trace_id, state, client = around.trace_id, around.trace_state, around
        common = Origin(trace_id, state, client, context, time.time_ns() - time.monotonic_ns())
        return ModelSpan(common, bits & _SPAN_ID, above=bits >> _SPAN_ID_BITS & _SPAN_ID)

    def current(self, trace: Trace) -> _Within:
        """Make the request's span the current one."""
        return _Within(_context_of(self._span(trace)))

    def id_of(self, trace: Trace) -> str:
        """Give the id that OpenTelemetry knows the trace by."""
        return format_trace_id(self._span(trace).origin.trace_id)

    def context_of(self, trace: Trace) -> Mapping[str, str]:
        """Give `traceparent`, and `tracestate` and `baggage` where there are any."""
        fields: dict[str, str] = {}
        _PROPAGATOR.inject(fields, _context_of(self._span(trace)))
        return fields

    def end(self, trace: Trace) -> None:
        """Send the spans of a trace."""
        if trace.mark is not None:
            trace.mark.ended = True
        self._export.take(trace)

    def _message(self, ended: Sequence[ReadableSpan | Trace]) -> bytes:
        """Write a message, on the thread that sends it."""
        traces = [(one, self._span(one)) for one in ended if not isinstance(one, ReadableSpan)]
        return self._messages.message(traces, [one for one in ended if isinstance(one, ReadableSpan)])

    def metrics(self) -> Sequence[MetricFamily]:
        """Tell how much was dropped."""
        return [self._export.metric()]

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        unserve_models(self._provider)
        self._export.close()


class _Within:
    """Stands around what is executed in a context."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token: Token[Context] = contexts.attach(self._context)

    def __exit__(self, *_: object) -> None:
        contexts.detach(self._token)


class _Fields(Getter[_Field]):
    """Reads the header fields of a request. W3C's are ASCII; what is not, the propagators fall over."""

    def get(self, carrier: _Field, key: str) -> list[str] | None:
        value = carrier(key)
        return None if value is None or not value.isascii() else [value]

    def keys(self, carrier: _Field) -> list[str]:
        del carrier
        return []


_FIELDS = _Fields()


def _context_of(span: ModelSpan) -> Context:
    """Give the context in which a request is executed."""
    return set_span_in_context(span, span.origin.context)


def _inner(parent: Trace, maker: ModelSpan) -> int:
    """Find the span below which a request belongs that a model makes: one of the model's own, if it is made within such."""
    current = get_current_span().get_span_context()
    # an ensemble's steps are made on the thread of the step before, whose span is none of the ensemble's
    elsewhere = parent.composed or current.trace_id != maker.origin.trace_id
    return maker.span_id if elsewhere else current.span_id

"""What is written byte by byte is what the SDK writes of the same spans."""

from __future__ import annotations

from operator import attrgetter
from types import SimpleNamespace

from charonia_trace_opentelemetry.otlp import MessageWriter
from charonia_trace_opentelemetry.spans import ModelSpan, Origin
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, SpanKind, Status, StatusCode, TraceState

RESOURCE = Resource({"service.name": "charonia", "numbers": (1, 2)}, "https://schema")
SCOPE = InstrumentationScope("charonia", "1.0")
WRITER = MessageWriter(RESOURCE, SCOPE)
NUMBER = st.integers(1, 2**64 - 1)
NAME = st.text(max_size=40)
MODEL = ("REQUEST_START", "QUEUE_START", "REQUEST_END")
COMPUTE = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")


@st.composite
def traces(draw):
    """Make a trace as the server writes it down: with or without execution, client, maker, error and names."""
    names = [*MODEL[:2], *(COMPUTE if draw(st.booleans()) else ()), MODEL[2]]
    maker = SimpleNamespace(number=draw(st.integers(1, 10**9)), parent=None) if draw(st.booleans()) else None
    if maker is None:
        names = ["HTTP_RECV_START", *names, "HTTP_SEND_END"]
    times = sorted(draw(st.lists(st.integers(1, 10**15), min_size=len(names), max_size=len(names))))
    return SimpleNamespace(
        number=draw(st.integers(1, 10**9)),
        model=draw(NAME),
        version=draw(st.integers(1, 10**18)),
        parent=maker,
        request_id=draw(NAME),
        error=draw(NAME),
        moments=dict(zip(names, times, strict=True)),
    )


@st.composite
def traced(draw):
    """Make a trace with its span in its model, of a client that has one or of one that has none, after which clocks may have been set."""
    state = TraceState([("a", "b")]) if draw(st.booleans()) else TraceState()
    trace_id = draw(st.integers(1, 2**128 - 1))
    remote = draw(st.booleans())
    client = SpanContext(trace_id, draw(NUMBER), is_remote=remote, trace_state=state)
    client = draw(st.sampled_from([client, INVALID_SPAN_CONTEXT]))
    origin = Origin(trace_id, state, client, Context(), draw(st.integers(0, 10**18)))
    return draw(traces()), ModelSpan(origin, draw(NUMBER), draw(NUMBER))


def as_the_sdk_has_them(trace, span):
    """Give the spans of a request with the SDK's means, without the numbers of those that have random ones."""
    offset = span.origin.offset_ns
    moments = trace.moments
    status = Status(StatusCode.ERROR, trace.error) if trace.error else Status()

    def make(name, span_id, above, lasting, told, **more):
        ordered = sorted(lasting, key=moments.get)
        return ReadableSpan(
            name,
            span.place(span_id),
            above,
            RESOURCE,
            events=[Event(moment, timestamp=moments[moment] + offset) for moment in told],
            start_time=moments[ordered[0]] + offset,
            end_time=moments[ordered[-1]] + offset,
            instrumentation_scope=SCOPE,
            **more,
        )

    attributes = {
        "triton.model_name": trace.model,
        "triton.model_version": trace.version,
        "triton.trace_id": trace.number,
        "triton.trace_parent_id": trace.parent.number if trace.parent else 0,
        **({"triton.request_id": trace.request_id} if trace.request_id else {}),
    }
    model = span.place(span.span_id)
    if COMPUTE[0] in moments:
        yield make("queue", 1, model, ("QUEUE_START", "COMPUTE_START"), ())
        yield make("compute", 1, model, COMPUTE, COMPUTE, status=status)
    if trace.parent is None:
        client = span.origin.client
        above = client if client.is_valid else None
        told = [name for name in moments if name.startswith("HTTP")]
        yield make("InferRequest", span.above, above, moments, told, status=status, kind=SpanKind.SERVER)
    yield make(trace.model, span.span_id, span.place(span.above), MODEL, MODEL, status=status, attributes=attributes)


def plain(message):
    """Give the only scope of a message, with spans in a form that says the same whoever wrote it."""
    (of_resource,) = message.resource_spans
    (of_scope,) = of_resource.scope_spans
    for span in of_scope.spans:
        span.attributes.sort(key=attrgetter("key"))
        if span.name in {"queue", "compute"} and len(span.attributes) == 0:
            span.span_id = b"random"
        if not span.status.code:
            span.ClearField("status")
    return message


@given(st.lists(traced(), min_size=1, max_size=3))
def test_spans_of_requests_are_written_as_the_sdk_writes_them(ended):
    """Whatever a trace has, a collector reads the same of it."""
    expected = encode_spans([sdk for one in ended for sdk in as_the_sdk_has_them(*one)])
    written = ExportTraceServiceRequest.FromString(WRITER.message(ended, []))
    assert plain(written) == plain(expected)


@given(traced())
def test_what_was_added_is_told_with_the_rest(one):
    """A span to which a model's code has added an attribute, an event and a link has its own, too, and those as they are."""
    trace, span = one
    span.set_attributes({"tokens": [1, 2], "triton.model_name": "mine"})
    span.add_event("found", {"score": 0.5}, 7)
    span.add_link(SpanContext(5, 6, is_remote=False))
    span.set_status(StatusCode.OK)
    written = ExportTraceServiceRequest.FromString(WRITER.message([one], []))
    found = [told for one in written.resource_spans for scope in one.scope_spans for told in scope.spans]
    (told,) = [told for told in found if told.links]
    assert told.span_id == span.span_id.to_bytes(8, "big")
    assert told.parent_span_id == span.above.to_bytes(8, "big")
    assert [event.name for event in told.events] == [*MODEL, "found"]
    attributes = [(attribute.key, attribute.value.string_value) for attribute in told.attributes]
    assert len(dict(attributes)) == len(attributes)
    assert dict(attributes)["triton.model_name"] == trace.model
    assert "tokens" in dict(attributes)
    assert told.status.code == (2 if trace.error else 1)
    assert told.status.message == trace.error
    assert len(found) == len(list(as_the_sdk_has_them(*one)))


@given(traced())
def test_what_comes_too_late_is_not_told(one):
    """A request that is finished has the span that it has."""
    _, span = one
    span.ended = True
    before = WRITER.message([one], [])
    span.set_attribute("tokens", 1)
    span.record_exception(ValueError("late"))
    assert not span.is_recording()
    assert len(WRITER.message([one], [])) == len(before)


def test_texts_that_are_none_cost_no_trace():
    """A caller's name of a request, or a text of an error with the name of a file in it, may have halves of characters."""
    origin = Origin(1, TraceState(), INVALID_SPAN_CONTEXT, Context(), 0)
    trace = SimpleNamespace(
        number=1,
        model="m",
        version=1,
        parent=None,
        request_id="a\ud800",
        error="no \udcff",
        moments=dict.fromkeys(MODEL, 1),
    )
    (of_resource,) = ExportTraceServiceRequest.FromString(
        WRITER.message([(trace, ModelSpan(origin, 2, 3))], [])
    ).resource_spans
    _, told = of_resource.scope_spans[0].spans
    assert told.status.message == r"no \udcff"
    assert told.attributes[-1].value.string_value == r"a\ud800"


def test_other_spans_are_the_sdks():
    """Spans that a model's code has made go into the same message."""
    own = ReadableSpan("mine", SpanContext(5, 6, is_remote=False), resource=RESOURCE, instrumentation_scope=SCOPE)
    assert ExportTraceServiceRequest.FromString(WRITER.message([], [own])) == encode_spans([own])
    assert WRITER.message([], []) == b""

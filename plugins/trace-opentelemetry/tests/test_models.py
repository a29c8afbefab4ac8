"""Spans of models' own code, and calls of other models: they hang where they belong, in threads, coroutines and processes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from charonia.errors import InferenceError
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin

X = {"X": np.ones((1, 2), np.float32)}
STEPS = [("queue", []), ("compute", [])]
HEAD = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils
from opentelemetry import trace

tracer = trace.get_tracer("theirs", "1.0")

def answer(request, text=""):
    return pb_utils.InferenceResponse([pb_utils.Tensor("Y", request.inputs()[0].as_numpy()),
                                       pb_utils.Tensor("T", np.array([[text]], np.object_))])

def call(**more):
    return pb_utils.InferenceRequest(model_name="called", requested_output_names=["Y"],
                                     inputs=[pb_utils.Tensor("X", np.ones((1, 2), np.float32))], **more)
"""


@pytest.fixture
def serve(trace, model_repository):
    """Serve a `model.py` as "m", of which the tests give the class, beside the model "called"."""
    write_model(model_repository, model_config("called", inputs=[("X", "FP32", [2])], outputs=[("Y", "FP32", [2])]))

    def start(code, *, rate=1, batches_of=0, **settings):
        config = model_config(
            "m",
            backend="python",
            inputs=[("X", "FP32", [2])],
            outputs=[("Y", "FP32", [2]), ("T", "BYTES", [1])],
            instance_count=1,
            **settings,
        )
        if batches_of:
            config.dynamic_batching.preferred_batch_size.append(batches_of)
            config.dynamic_batching.max_queue_delay_microseconds = 60_000_000
        write_model(model_repository, config, files={"1/model.py": HEAD + code})
        return trace(rate=rate, plugins=Plugins(extra=[ArithmeticPlugin()]))

    return start


SPANS = """
class TritonPythonModel:
    {kind} execute(self, requests):
        trace.get_current_span().set_attribute("tokens", 5)
        trace.get_current_span().add_event("found", {{"score": 0.5}})
        with tracer.start_as_current_span("outer"):
            {pause}
            with tracer.start_as_current_span("inner", attributes={{"words": 3}}):
                return [answer(request) for request in requests]
"""


@pytest.mark.parametrize(("kind", "pause"), [("def", "pass"), ("async def", "import asyncio; await asyncio.sleep(0)")])
def test_spans_of_a_model_are_below_its_own(serve, collector, kind, pause):
    """They need no set-up, and what is added to the current span is told with it."""
    server = serve(SPANS.format(kind=kind, pause=pause))
    server.model("m").infer(X)
    server.close()
    assert collector.tree() == [("InferRequest", [("m", [("queue", []), ("compute", []), ("outer", [("inner", [])])])])]
    model, inner = collector.one("m"), collector.one("inner")
    assert model.attributes["tokens"] == 5
    assert model.event_attributes["found"] == {"score": 0.5}
    assert (inner.attributes, inner.scope, inner.resource["service.name"]) == ({"words": 3}, "theirs", "charonia")


def test_spans_of_a_models_own_threads_are_below_it(serve, collector):
    """A decoupled model may answer from a thread: run in a copy of the context, its spans are below the request's, to its end."""
    server = serve(
        """
import contextvars
import threading

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(self.send, request)).start()

    def send(self, request):
        sender = request.get_response_sender()
        for number in range(2):
            with tracer.start_as_current_span(f"token {number}"):
                sender.send(answer(request))
        trace.get_current_span().set_attribute("tokens", 2)
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
""",
        decoupled=True,
    )
    assert len(list(server.model("m").stream(X))) >= 2
    server.close()
    ((_, ((name, below),)),) = collector.tree()
    assert (name, {span for span, _ in below}) == ("m", {"queue", "compute", "token 0", "token 1"})
    assert collector.one("m").attributes["tokens"] == 2


def test_an_error_among_the_responses_is_how_a_request_ended(serve, collector):
    """A decoupled model tells it in a response, after which it says that there are no more."""
    server = serve(
        """
class TritonPythonModel:
    def execute(self, requests):
        sender = requests[0].get_response_sender()
        sender.send(answer(requests[0]))
        sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError("no more words")))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
""",
        decoupled=True,
    )
    with pytest.raises(InferenceError):
        list(server.model("m").stream(X))
    server.close()
    assert {collector.one(name).status for name in ("InferRequest", "m", "compute")} == {(2, "no more words")}


def test_spans_of_requests_that_are_not_traced_are_not_recorded(serve, collector):
    """The rate is that of the server: nothing of a request is told whose turn it is not, nor what happens outside of any."""
    code = SPANS.format(kind="def", pause="pass") + (
        "    def initialize(self, args):\n        tracer.start_span('outside').end()\n"
    )
    server = serve(code, rate=2)
    for _ in range(2):
        server.model("m").infer(X)
    server.close()
    assert len([span for span in collector.spans if span.name == "outer"]) == 1
    assert not [span for span in collector.spans if span.name == "outside"]


def test_what_a_model_says_of_its_span_is_told(serve, collector):
    """Status, exceptions and links are kept; the name and the end are the server's."""
    server = serve("""
class TritonPythonModel:
    def execute(self, requests):
        span = trace.get_current_span()
        assert span.is_recording()
        span.set_attributes({"a": 1, "b": [1, 2]})
        span.record_exception(ValueError("seven"), {"where": "here"})
        span.set_status(trace.StatusCode.ERROR, "nearly")
        span.add_link(trace.SpanContext(1, 2, is_remote=True), {"why": "because"})
        span.update_name("other")
        span.end()
        return [answer(request) for request in requests]
""")
    server.model("m").infer(X)
    server.close()
    model = collector.one("m")
    assert model.status == (2, "nearly")
    assert model.attributes["a"] == 1
    told = model.event_attributes["exception"]
    assert (told["exception.type"], told["exception.message"], told["where"]) == ("ValueError", "seven", "here")
    assert "ValueError: seven" in told["exception.stacktrace"]
    assert model.links == [f"{2:016x}"]


ODD = {
    "no value": ("set_attribute('a', None)", 2),
    "no name": ("set_attribute('', 1)", 2),
    "an object": ("set_attribute('a', object)", 2),
    "half a character": (r"add_event('\ud800')", 1),
    "half a character of a text": (r"set_status(trace.StatusCode.ERROR, '\ud800')", 1),
    "a time that cannot be": ("add_event('early', timestamp=-1)", 1),
    "a span that cannot be": ("add_link(trace.SpanContext(2**200, 1, is_remote=False))", 2),
}
"""What a model's code may do to a span, and of how many spans there is something left: the request's, and one of its own."""


@pytest.mark.parametrize("what", ODD)
def test_whatever_a_model_does_to_a_span_no_other_is_lost(serve, collector, what):
    """What cannot be written is left out: of the request's own span all of the model's, of the model's the span."""
    expression, left = ODD[what]
    server = serve(
        """
class TritonPythonModel:
    def execute(self, requests):
        trace.get_current_span().EXPRESSION
        with tracer.start_as_current_span("mine") as span:
            span.EXPRESSION
        with tracer.start_as_current_span("another"):
            return [answer(request) for request in requests]
""".replace("EXPRESSION", expression)
    )
    server.model("m").infer(X)
    server.close()
    names = sorted(span.name for span in collector.spans if span.name != "mine")
    assert names == ["InferRequest", "another", "compute", "m", "queue"]
    assert len([span for span in collector.spans if span.name == "mine"]) == left - 1


CALLS = {
    "waiting": ("def", "call(trace=request.trace()).exec()"),
    "within a span": ("def", "exec_within()"),
    "awaited": ("async def", "await call().async_exec()"),
}


@pytest.mark.parametrize("way", CALLS)
def test_calls_of_other_models_are_below_the_model_that_calls(serve, collector, way):
    """A call has its spans below the caller's, or below a span of the caller's own that it is made in."""
    kind, expression = CALLS[way]
    server = serve(f"""
def exec_within():
    with tracer.start_as_current_span("mine"):
        call().exec()

class TritonPythonModel:
    {kind} execute(self, requests):
        for request in requests:
            {expression}
        return [answer(request) for request in requests]
""")
    server.model("m").infer(X)
    server.close()
    called = ("called", STEPS)
    made = ("mine", [called]) if way == "within a span" else called
    assert collector.tree() == [("InferRequest", [("m", [*STEPS, made])])]


def test_a_model_is_told_the_context_of_its_request(serve, collector):
    """`request.trace().get_context()` is what another process needs to go on with the trace, as in the reference."""
    server = serve("""
class TritonPythonModel:
    def execute(self, requests):
        return [answer(request, request.trace().get_context() or "") for request in requests]
""")
    told = json.loads(server.model("m").infer(X)["T"][0, 0])
    server.trace_setting(changes={"trace_level": ["OFF"]})
    assert server.model("m").infer(X)["T"][0, 0] == b""
    server.close()
    model = collector.one("m")
    assert told == {"traceparent": f"00-{model.trace}-{model.id}-01"}


def test_in_a_batch_each_request_has_its_own_context(serve, collector):
    """A call says by its `trace` to which request of a batch it belongs; without, it is the first that is traced."""
    server = serve(
        """
class TritonPythonModel:
    def execute(self, requests):
        call(request_id="second", trace=requests[-1].trace()).exec()
        call(request_id="first").exec()
        return [answer(request) for request in requests]
""",
        batches_of=2,
    )
    model = server.model("m")
    streams = [model.stream(X, id=name) for name in ("one", "two")]
    for stream in streams:
        list(stream)
    server.close()
    callers = {span.id: span.attributes.get("triton.request_id") for span in collector.spans if span.name == "m"}
    below = {
        span.attributes["triton.request_id"]: callers[span.above] for span in collector.spans if span.name == "called"
    }
    assert below == {"second": "two", "first": "one"}


def test_a_process_of_its_own_goes_on_with_the_trace(serve, collector):
    """There the current span is the request's, too, and calls are below it; its own spans are its own to export."""
    server = serve(
        """
class TritonPythonModel:
    def execute(self, requests):
        current = trace.get_current_span().get_span_context()
        call(trace=requests[0].trace()).exec()
        told = [trace.format_trace_id(current.trace_id), trace.format_span_id(current.span_id)]
        return [answer(request, json.dumps([told, request.trace().get_context()])) for request in requests]
""",
        parameters={"EXECUTION_MODE": "process"},
    )
    current, context = json.loads(server.model("m").infer(X)["T"][0, 0])
    server.close()
    model = collector.one("m")
    assert current == [model.trace, model.id]
    assert json.loads(context) == {"traceparent": f"00-{model.trace}-{model.id}-01"}
    assert collector.tree() == [("InferRequest", [("m", [*STEPS, ("called", STEPS)])])]

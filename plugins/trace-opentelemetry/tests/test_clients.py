"""Traces that begin at a client: W3C's context comes in over HTTP and gRPC, and is kept."""

from __future__ import annotations

import http.client
import json

import grpc
import numpy as np
import pytest
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia_protos import grpc_service_pb2 as pb

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = (f"00-{TRACE}-{SPAN}-0{flag}" for flag in (1, 0))
SERVICE = "/inference.GRPCInferenceService"


@pytest.fixture(params=["standard", "lean"])
def talk(trace, collector, model_repository, request):
    """Serve the model "m" over both protocols, have a talk with it, given both addresses, and give the collector."""
    write_model(model_repository, model_config("m", inputs=[("X", "FP32", [2])], outputs=[("Y", "FP32", [2])]))

    def run(ask, *, rate=0):
        server = trace(rate=rate, plugins=Plugins(extra=[ArithmeticPlugin()]), transport=request.param)
        options = {"http-port": 0, "grpc-port": 0, "allow-metrics": False}
        with serve_in_thread(server, options) as urls:
            ask({url.partition(":")[0]: url.partition("://")[2] for url in urls})
        server.close()
        return collector

    return run


def post(address, headers, path="/v2/models/m/infer", body=None):
    """Send a request over HTTP, which goes well. Of its header fields, some may have the same name."""
    content = body or {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    document = json.dumps(content).encode()
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.putrequest("POST", path)
    for name, value in [*headers, ("Content-Length", str(len(document)))]:
        connection.putheader(name, value)
    connection.endheaders(document)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200


def message(**fields):
    """Write a request for gRPC."""
    request = pb.ModelInferRequest(model_name="m", **fields)
    request.inputs.add(name="X", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(np.ones((1, 2), np.float32).tobytes())
    return request


@pytest.mark.parametrize("sent", [SAMPLED, UNSAMPLED])
def test_a_client_that_has_a_trace_is_traced_over_http(talk, sent):
    """As in the reference, whatever the rate says, and whether the client's own spans are sampled or not."""
    headers = [("traceparent", sent), ("tracestate", "a=b"), ("Tracestate", "c=d")]
    collector = talk(lambda at: post(at["http"], headers))
    root = collector.one("InferRequest")
    assert (root.trace, root.above, root.state) == (TRACE, SPAN, "a=b,c=d")
    assert {span.trace for span in collector.spans} == {TRACE}
    assert collector.one("compute").state == "a=b,c=d"
    assert [name for name, _ in root.events] == [
        "HTTP_RECV_START",
        "HTTP_RECV_END",
        "INFER_RESPONSE_COMPLETE",
        "HTTP_SEND_START",
        "HTTP_SEND_END",
    ]
    assert root.kind == 2  # of a server


@pytest.mark.parametrize("sent", [(), ("what",), (f"00-{'0' * 32}-{SPAN}-01",), (SAMPLED, UNSAMPLED)])
def test_others_are_traced_when_it_is_their_turn(talk, sent):
    """A request without a context, with one that is none, or with two has a trace of its own, or none at the rate 0."""
    collector = talk(lambda at: post(at["http"], [("traceparent", one) for one in sent]))
    assert collector.spans == []


def test_a_context_that_is_none_begins_a_new_trace(talk):
    """It does not keep a request from being traced."""
    collector = talk(lambda at: post(at["http"], [("traceparent", "what")]), rate=1)
    assert collector.one("InferRequest").above == ""


@pytest.mark.parametrize("field", ["traceparent", "tracestate", "baggage"])
def test_a_context_that_is_no_text_harms_nobody(talk, field):
    """Header fields may have any bytes, and those of W3C are ASCII: others are passed over, and the request is answered."""
    headers = [("traceparent", SAMPLED), ("baggage", "a=b")]
    odd = [header for header in headers if header[0] != field] + [(field, "k=\xe9".encode("latin-1"))]
    collector = talk(lambda at: (post(at["http"], odd), post(at["http"], headers)))
    spans = [span for span in collector.spans if span.name == "InferRequest"]
    assert [span.above for span in spans] == [SPAN] * (1 if field == "traceparent" else 2)


@pytest.mark.parametrize(
    ("path", "body"), [("/v2/models/m/generate", {"X": [1, 2]}), ("/v2/models/m/predict", {"X": [[1, 2]]})]
)
def test_every_endpoint_takes_a_context(talk, path, body):
    """What holds for `infer` holds for the others, too."""
    collector = talk(lambda at: post(at["http"], [("traceparent", SAMPLED)], path, body))
    assert collector.one("InferRequest").above == SPAN


def test_a_context_comes_in_by_a_calls_metadata(talk):
    """Over gRPC it stands in the metadata."""

    def ask(at):
        with grpc.insecure_channel(at["grpc"]) as channel:
            call = channel.unary_unary(
                f"{SERVICE}/ModelInfer", pb.ModelInferRequest.SerializeToString, pb.ModelInferResponse.FromString
            )
            call(message(id="g1"), metadata=[("traceparent", SAMPLED), ("tracestate", "a=b"), ("tracestate", "c=d")])
            call(message(id="g2"))

    collector = talk(ask)
    root = collector.one("InferRequest")
    assert (root.trace, root.above, root.state) == (TRACE, SPAN, "a=b,c=d")
    assert [name for name, _ in root.events] == [
        "GRPC_WAITREAD_START",
        "GRPC_WAITREAD_END",
        "INFER_RESPONSE_COMPLETE",
        "GRPC_SEND_START",
        "GRPC_SEND_END",
    ]


def test_all_requests_of_a_stream_belong_to_its_context(talk):
    """A stream has one set of metadata for all its requests."""

    def ask(at):
        with grpc.insecure_channel(at["grpc"]) as channel:
            call = channel.stream_stream(
                f"{SERVICE}/ModelStreamInfer",
                pb.ModelInferRequest.SerializeToString,
                pb.ModelStreamInferResponse.FromString,
            )
            asked = iter([message(id="s1"), message(id="s2")])
            assert len(list(call(asked, metadata=[("traceparent", SAMPLED)]))) == 2

    collector = talk(ask)
    roots = [span for span in collector.spans if span.name == "InferRequest"]
    assert [(root.trace, root.above) for root in roots] == [(TRACE, SPAN)] * 2

"""A collector of OpenTelemetry's protocol, over HTTP and over gRPC, which keeps what it gets."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

__all__ = ["Collector", "SentSpan"]

_DECODERS = {"identity": bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}


class SentSpan:
    """A span as it was sent.

    Attributes:
        name, kind, trace, id, above: its name, the number of its kind, and in hexadecimal its trace, itself, and the span above.
        state: what vendors have added to the trace.
        attributes: by name.
        events: their names and times, in their order.
        start, end: in nanoseconds since 1970.
        status: the number of its status, and a text; 0 is none, 2 an error.
        resource: what it says about the server.
        scope: what made it.
    """

    def __init__(self, span, resource, scope):
        self.name = span["name"]
        self.kind = span["kind"]
        self.trace, self.id, self.above = span["traceId"], span["spanId"], span.get("parentSpanId", "")
        self.state = span.get("traceState", "")
        self.attributes = _attributes(span)
        self.events = [(event["name"], int(event["timeUnixNano"])) for event in span.get("events", ())]
        self.event_attributes = {event["name"]: _attributes(event) for event in span.get("events", ())}
        self.links = [link["spanId"] for link in span.get("links", ())]
        self.start, self.end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
        status = span.get("status", {})
        self.status = status.get("code", 0), status.get("message", "")
        self.resource, self.scope = resource, scope

    def __repr__(self):
        return f"SentSpan({self.name}, {self.id}, above={self.above})"


class Collector:
    """Listens on ports of its own while its block lasts.

    Attributes:
        url: where it takes OTLP over HTTP.
        grpc_url: where it takes OTLP over gRPC.
        spans: what it has got.
        headers: those of the last message over HTTP.
        busy: how many more messages over HTTP are told to come again.
    """

    def __init__(self):
        self.spans = []
        self.headers = {}
        self.busy = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._workers = ThreadPoolExecutor(2)
        self._grpc = grpc.server(self._workers)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Servicer(self), self._grpc)
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1/traces"
        self.grpc_url = f"grpc://127.0.0.1:{port}"

    def __enter__(self):
        self._thread.start()
        self._grpc.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._grpc.stop(0).wait()
        self._workers.shutdown()

    def take(self, document):
        """Keep the spans of a message, in the protocol's JSON with hexadecimal ids."""
        for of_resource in document["resourceSpans"]:
            resource = _attributes(of_resource["resource"])
            for of_scope in of_resource["scopeSpans"]:
                scope = of_scope["scope"]["name"]
                self.spans += [SentSpan(span, resource, scope) for span in of_scope["spans"]]

    def tree(self):
        """Give the spans by trace as (name, those below), with those below in the order of their start."""
        below = {}
        for span in sorted(self.spans, key=lambda span: span.start):
            below.setdefault((span.trace, span.above), []).append(span)
        known = {(span.trace, span.id) for span in self.spans}

        def branch(span):
            return span.name, [branch(lower) for lower in below.get((span.trace, span.id), ())]

        return [branch(span) for place, spans in below.items() if place not in known for span in spans]

    def one(self, name):
        """Give the only span of a name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span


class _Servicer(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector):
        self._collector = collector

    def Export(self, request, context):  # noqa: N802 - the protocol's name
        self._collector.take(_as_json(request))
        return ExportTraceServiceResponse()


def _handler(collector):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = _DECODERS[self.headers.get("Content-Encoding", "identity")](
                self.rfile.read(int(self.headers["Content-Length"]))
            )
            collector.headers = dict(self.headers)
            if collector.busy:
                collector.busy -= 1
                self.send_response(503)
            else:
                in_json = self.headers["Content-Type"] == "application/json"
                collector.take(json.loads(body) if in_json else _as_json(ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    return Handler


def _as_json(message):
    document = MessageToDict(message, use_integers_for_enums=True)
    spans = [span for one in message.resource_spans for scope in one.scope_spans for span in scope.spans]
    written = [span for one in document["resourceSpans"] for scope in one["scopeSpans"] for span in scope["spans"]]
    for span, told in zip(spans, written, strict=True):
        told |= {
            "traceId": span.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "parentSpanId": span.parent_span_id.hex(),
        }
        for link, link_told in zip(span.links, told.get("links", ()), strict=True):
            link_told["spanId"] = link.span_id.hex()
    return document


def _attributes(told):
    return {item["key"]: _value(item["value"]) for item in told.get("attributes", ())}


def _value(value):
    ((kind, content),) = value.items() or [("none", None)]
    return int(content) if kind == "intValue" else content

"""After the same requests, a collector of OpenTelemetry's has the same spans of both servers."""

from __future__ import annotations

import http.client
import json
import shutil

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from charonia.trace_settings import TraceSetting
from collector import Collector
from recordings import MODELS

from benchmarks.process import free_port

SERVED = ("add_sub", "cached", "calls", "ens")
CACHE_SIZE = "1048576"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLS = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x = request.inputs()[0].as_numpy()
        inputs = [pb_utils.Tensor(name, x) for name in ("INPUT0", "INPUT1")]
        pb_utils.InferenceRequest(
            model_name="add_sub", inputs=inputs, requested_output_names=["OUTPUT0"], trace=request.trace()
        ).exec()
        text = json.dumps(sorted(json.loads(request.trace().get_context())))
        return pb_utils.InferenceResponse([pb_utils.Tensor("T", np.array([[text]], np.object_))])
"""
CONFIGURATION = """
name: "calls"
backend: "python"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "T" data_type: TYPE_STRING dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Write the models: some of those that conformance is tested with, and one that calls another."""
    repository = tmp_path_factory.mktemp("repository")
    for name in ("add_sub", "cached", "ens"):
        shutil.copytree(MODELS / name, repository / name)
    (repository / "calls" / "1").mkdir(parents=True)
    (repository / "calls" / "config.pbtxt").write_text(CONFIGURATION)
    (repository / "calls" / "1" / "model.py").write_text(CALLS)
    return repository


@pytest.fixture
def reference(run_reference, models):
    """Give what the reference sends and answers."""
    port = free_port()
    with Collector() as collector:
        flags = [
            f"--model-repository={models}",
            f"--cache-config=local,size={CACHE_SIZE}",
            "--trace-config=mode=opentelemetry",
            f"--trace-config=opentelemetry,url={collector.url}",
            "--trace-config=opentelemetry,resource=a=b",
            "--trace-config=rate=1",
            "--trace-config=level=TIMESTAMPS",
            "--http-address=127.0.0.1",
            f"--http-port={port}",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--exit-timeout-secs=5",
        ]
        with run_reference(port, *flags):
            answers = send_traffic(port)
    return told_by(collector), answers


@pytest.fixture
def ours(models):
    """Give what this server sends and answers."""
    with Collector() as collector:
        setting = TraceSetting(
            level=("TIMESTAMPS",),
            rate=1,
            mode="opentelemetry",
            options=(("url", collector.url), ("resource", "a=b")),
        )
        options = ServerOptions(cache_config={"local": {"size": CACHE_SIZE}}, trace=setting)
        settings = {"http-port": 0, "allow-grpc": False, "allow-metrics": False}
        with Server(models, options=options) as server, serve_in_thread(server, settings) as (url,):
            answers = send_traffic(int(url.rpartition(":")[2]))
    return told_by(collector), answers


def send_traffic(port):
    """Ask a model, one that is cached, an ensemble, and one that calls another, some of them from within a trace; gives answers."""
    answers = []
    for model, name, inputs, headers in (
        ("add_sub", "r1", ("INPUT0", "INPUT1"), {}),
        ("add_sub", "", ("INPUT0", "INPUT1"), {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b,c=d"}),
        ("ens", "r2", ("A", "B"), {"traceparent": f"00-{TRACE}-{SPAN}-00"}),
        ("calls", "r3", ("X",), {}),
        ("cached", "r4", ("X",), {}),
        ("cached", "r5", ("X",), {"traceparent": "nonsense"}),
    ):
        width = 2 if model == "cached" else 4
        body = {
            "id": name,
            "inputs": [{"name": x, "datatype": "FP32", "shape": [1, width], "data": [1] * width} for x in inputs],
        }
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", f"/v2/models/{model}/infer", json.dumps(body), headers)
        answers.append(json.loads(connection.getresponse().read())["outputs"][0]["data"])
        connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/v2/trace/setting")
    settings = json.loads(connection.getresponse().read())
    connection.close()
    assert settings.pop("url").endswith("/v1/traces")
    return answers, settings


def told_by(collector):
    """Give each span as the names of itself and those above, its attributes, events, trace state and client, sorted.

    Our spans of queues, which the reference lacks, are left out. So are ids and times, which are different each time.
    """
    by_id = {span.id: span for span in collector.spans}
    told = []
    for span in collector.spans:
        path, client, above = [span.name], "", span.above
        while above:
            if above not in by_id:
                client = above
                break
            path.append(by_id[above].name)
            above = by_id[above].above
        events = [name for name, _ in sorted(span.events, key=lambda event: event[1])]
        if span.name != "queue":
            told.append((path, span.attributes, events, span.state, client, span.resource["a"]))
    return sorted(told, key=json.dumps)


def test_the_spans_are_the_references(reference, ours):
    """Each request has the same spans below each other, with the same attributes, events and context; so are the settings."""
    assert ours == reference

"""A client for whose request there is no room is told so, by the means of its protocol, and whoever runs the server can see it."""

from __future__ import annotations

import json
import logging
import queue
import urllib.error
import urllib.request
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia.trace_settings import TraceSetting
from charonia_protos import grpc_service_pb2 as pb

ARRAY = np.zeros((1, 16), np.float32)
GRPC_MOMENTS = ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "QUEUE_START", "GRPC_SEND_START", "GRPC_SEND_END"]


@pytest.fixture
def full(tmp_path):
    """Give a server whose model executes one request while another one has filled its queue; gives its addresses by protocol."""

    @contextmanager
    def serving(**options):
        config = model_config(max_batch_size=1, parameters={"gate": "full", "max_queue_bytes": "1"})
        config.dynamic_batching.SetInParent()
        write_model(tmp_path / "models", config)
        answers = queue.SimpleQueue()
        plugins = Plugins(extra=[ArithmeticPlugin()])
        with (
            Server(tmp_path / "models", options=ServerOptions(**options), plugins=plugins) as server,
            serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as urls,
            Gate("full") as gate,
        ):
            for expected in (True, False):
                server.submit(InferenceRequest("model", {"INPUT0": ARRAY}, answers.put))
                if expected:
                    gate.wait_entered()
            yield {url.partition("://")[0]: url.partition("://")[2] for url in urls}
        assert [answers.get(timeout=30).error for _ in range(2)] == [None, None]

    return serving


def refused_by_http(addresses):
    """Ask over HTTP, and give the refusal: its status, header fields and text."""
    inputs = [{"name": "INPUT0", "shape": [1, 16], "datatype": "FP32", "data": [0] * 16}]
    body = json.dumps({"id": "by-http", "inputs": inputs}).encode()
    asked = urllib.request.Request(f"http://{addresses['http']}/v2/models/model/infer", body)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(asked, timeout=30)
    with refusal.value as response:
        return response.code, response.headers, response.read()


def refused_by_grpc(addresses):
    """Ask over gRPC, and give the refusal."""
    request = pb.ModelInferRequest(model_name="model", id="by-grpc", raw_input_contents=[ARRAY.tobytes()])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 16])
    with grpc.insecure_channel(addresses["grpc"]) as channel, pytest.raises(grpc.RpcError) as refusal:
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(request.SerializeToString(), timeout=30)
    return refusal.value


def test_a_full_queue_says_when_to_ask_again(full):
    """HTTP says it by Retry-After, gRPC by the metadata that its clients' retry policies heed."""
    with full() as addresses:
        status, headers, text = refused_by_http(addresses)
        refusal = refused_by_grpc(addresses)
    assert (status, headers["Retry-After"]) == (503, "1")
    assert b"Exceeds maximum queue bytes" in text
    assert refusal.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(refusal.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"


def test_the_access_log_tells_what_an_overload_costs(full, caplog):
    """What the queue refuses has its line, as one that waited for all of its time."""
    with caplog.at_level(logging.INFO, "charonia.access"), full(log_access=True) as addresses:
        refused_by_http(addresses)
        refused_by_grpc(addresses)
    lines = {record.request_id: record for record in caplog.records if record.name == "charonia.access"}
    for request_id in ("by-http", "by-grpc"):
        line = lines[request_id]
        assert (line.status, line.compute_us, line.queue_us) == ("UNAVAILABLE", 0, line.total_us)


@pytest.mark.parametrize("transport", ["standard", "lean"])
def test_the_trace_of_a_refused_call_tells_when_it_was_answered(full, tmp_path, transport):
    """It has the moments of one that was executed, up to the queue, and those of its answer, as in the reference."""
    path = tmp_path / "trace.json"
    setting = TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(path))
    with full(transport=transport, trace=setting) as addresses:
        refused_by_grpc(addresses)
    records = json.loads(path.read_text())
    (number,) = [record["id"] for record in records if record.get("request_id") == "by-grpc"]
    moments = {
        moment["name"]: moment["ns"]
        for record in records
        if record["id"] == number
        for moment in record.get("timestamps", ())
    }
    assert [moments[name] for name in GRPC_MOMENTS] == sorted(moments[name] for name in GRPC_MOMENTS)

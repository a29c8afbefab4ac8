"""A client for whose request there is no room is told when to ask again, by the means of its protocol."""

from __future__ import annotations

import json
import queue
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
from charonia import Server
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia_protos import grpc_service_pb2 as pb


def test_full_queue_says_when_to_ask_again(tmp_path):
    """HTTP says it by Retry-After, gRPC by the metadata that its clients' retry policies heed."""
    config = model_config(max_batch_size=1, parameters={"gate": "full", "max_queue_bytes": "1"})
    config.dynamic_batching.SetInParent()
    write_model(tmp_path, config)
    answers = queue.SimpleQueue()
    array = np.zeros((1, 16), np.float32)
    with (
        Server(tmp_path, plugins=Plugins(extra=[ArithmeticPlugin()])) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as urls,
        Gate("full") as gate,
    ):
        addresses = {url.partition("://")[0]: url.partition("://")[2] for url in urls}
        for expected in (True, False):
            server.submit(InferenceRequest("model", {"INPUT0": array}, answers.put))
            if expected:
                gate.wait_entered()
        body = {"inputs": [{"name": "INPUT0", "shape": [1, 16], "datatype": "FP32", "data": [0] * 16}]}
        asked = urllib.request.Request(f"http://{addresses['http']}/v2/models/model/infer", json.dumps(body).encode())
        with pytest.raises(urllib.error.HTTPError) as by_http:
            urllib.request.urlopen(asked, timeout=30)
        request = pb.ModelInferRequest(model_name="model", raw_input_contents=[array.tobytes()])
        request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 16])
        with grpc.insecure_channel(addresses["grpc"]) as channel, pytest.raises(grpc.RpcError) as by_grpc:
            channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(request.SerializeToString(), timeout=30)
    with by_http.value as response:
        assert (response.code, response.headers["Retry-After"]) == (503, "1")
        assert b"Exceeds maximum queue bytes" in response.read()
    assert by_grpc.value.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(by_grpc.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
    assert [answers.get(timeout=30).error for _ in range(2)] == [None, None]

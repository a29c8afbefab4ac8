"""A Python model's own word on whether it is ready reaches those who ask over the network."""

from __future__ import annotations

import http.client
from contextlib import closing
from urllib.parse import urlsplit

import grpc
import pytest
from charonia import Server
from charonia.serving import serve_in_thread
from charonia_protos import grpc_service_pb2 as pb

MODEL = """
import pathlib


class TritonPythonModel:
    def is_ready(self):
        return pathlib.Path(__file__).with_name("up").exists()
"""
CONFIG = """
backend: "python"
input [ { name: "X" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_INT64 dims: [ 1 ] } ]
parameters { key: "EXECUTION_MODE" value { string_value: "MODE" } }
"""
ENSEMBLE = """
platform: "ensemble"
input [ { name: "X" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_INT64 dims: [ 1 ] } ]
ensemble_scheduling { step {
  model_name: "MODEL" model_version: -1 input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }
} }
"""


@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize("name", ["own", "around", "around_that"])
def test_both_protocols_ask_the_model(tmp_path, mode, name):
    """The model is not ready until it says so, nor are ensembles around it, while the server is."""
    for ensemble, model in (("around", "own"), ("around_that", "around")):
        (tmp_path / ensemble / "1").mkdir(parents=True)
        (tmp_path / ensemble / "config.pbtxt").write_text(ENSEMBLE.replace("MODEL", model))
    version = tmp_path / "own" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG.replace("MODE", mode))
    told = []
    with (
        Server(tmp_path) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0, "allow-metrics": False}) as urls,
    ):
        addresses = {urlsplit(url).scheme: urlsplit(url).netloc for url in urls}
        with (
            closing(http.client.HTTPConnection(addresses["http"], timeout=30)) as connection,
            grpc.insecure_channel(addresses["grpc"]) as channel,
        ):
            ask = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelReady",
                pb.ModelReadyRequest.SerializeToString,
                pb.ModelReadyResponse.FromString,
            )
            for _ in range(2):
                for path in (f"/v2/models/{name}/ready", "/v2/health/ready"):
                    connection.request("GET", path)
                    with connection.getresponse() as answer:
                        answer.read()
                        told.append(answer.status)
                told.append(ask(pb.ModelReadyRequest(name=name), timeout=30).ready)
                (version / "up").touch()
    assert told == [400, 200, False, 200, 200, True]

"""The HTTP frontend in front of a real model: what a client can send and ask beside plain tensors."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import tritonclient.http as triton
from charonia import Server
from charonia.backend import Backend, Execution, LoadedModel
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins
from charonia.request import InferenceResponse
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model


@pytest.fixture(scope="module")
def url(tmp_path_factory, save_identity):
    repository = tmp_path_factory.mktemp("models")
    save_identity(repository, "fp32")
    with Server(repository) as server, serve_in_thread(server, {"http-port": 0, "allow-grpc": False}) as urls:
        yield urls[0]


def test_bare_bytes_are_a_request(url):
    """A body that is nothing but the bytes of the one input is inferred, and the answer is binary, too."""
    row = np.array([4, 5, 6], np.float32)
    request = urllib.request.Request(
        f"{url}/v2/models/fp32/infer", row.tobytes(), {"Inference-Header-Content-Length": "0"}
    )
    with urllib.request.urlopen(request) as response:
        content = response.read()
        length = int(response.headers["Inference-Header-Content-Length"])
    assert np.frombuffer(content[length:], np.float32).tolist() == [4, 5, 6]


def test_configuration_is_told_as_json(url):
    """The configuration that was completed from the model is there over HTTP."""
    with urllib.request.urlopen(f"{url}/v2/models/fp32/config") as response:
        told = json.load(response)
    assert told["max_batch_size"] == 4
    assert told["input"][0]["dims"] == [3]
    assert told["instance_group"][0]["kind"] == "KIND_CPU"


class Echo(Execution):
    """Gives back the input, and the request's parameters as the response's."""

    def execute(self, batch):
        for request in batch.requests:
            request.respond(InferenceResponse({"Y": request.inputs["X"]}, parameters=request.parameters))


class EchoModel(LoadedModel):
    def instantiate(self, context):
        return Echo(context)


class EchoBackend(Backend):
    def load(self, context):
        return EchoModel(context)


class EchoPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"echo": f"{__name__}:EchoBackend"}


def test_parameters_pass_both_ways(tmp_path):
    """Text, whole numbers, truth values and floating-point numbers reach the model, and come back from it."""
    write_model(tmp_path, model_config("m", backend="echo", inputs=[("X", "FP32", [3])], outputs=[("Y", "FP32", [3])]))
    parameters = {"text": "t", "whole": 3, "true": True, "real": 0.5}
    tensor = triton.InferInput("X", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.array([[1, 2, 3]], np.float32))
    with (
        Server(tmp_path, plugins=Plugins(extra=[EchoPlugin()])) as server,
        serve_in_thread(server, {"http-port": 0, "allow-grpc": False}) as urls,
        triton.InferenceServerClient(urls[0].removeprefix("http://")) as client,
    ):
        answer = client.infer("m", [tensor], parameters=parameters)
    assert answer.get_response()["parameters"] == parameters
    assert answer.as_numpy("Y").tolist() == [[1, 2, 3]]


def test_input_size_is_limited(tmp_path, save_identity):
    """A body above --http-max-input-size is refused as the client's mistake, and the next request is answered."""
    save_identity(tmp_path, "m")
    with (
        Server(tmp_path) as server,
        serve_in_thread(server, {"http-port": 0, "allow-grpc": False, "http-max-input-size": 500}) as urls,
    ):
        body = json.dumps({"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{urls[0]}/v2/models/m/infer", body + b" " * 500)
        caught.value.close()
        assert caught.value.code in {400, 413}
        with urllib.request.urlopen(f"{urls[0]}/v2/models/m/infer", body) as response:
            assert json.load(response)["outputs"][0]["data"] == [1.0, 2.0, 3.0]

"""Python models that write into their inputs, as the reference lets them, wherever the inputs came from."""

from __future__ import annotations

from contextlib import closing

import charonia_backend_custom
import charonia_frontend_grpc
import charonia_frontend_http
import charonia_scheduler_ensemble
import charonia_transport_lean
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from tritonclient.utils import shared_memory

MODULES = {"http": tritonclient.http, "grpc": tritonclient.grpc}
SOURCE = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X")
            array = x.as_numpy()
            array += 1
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x.as_numpy())]))
        return responses
"""
TENSORS = 'input { name: "X" data_type: TYPE_FP32 dims: -1 } output { name: "Y" data_type: TYPE_FP32 dims: -1 }'
TWICE = """
name: "twice" platform: "ensemble"
input { name: "X" data_type: TYPE_FP32 dims: -1 }
output { name: "A" data_type: TYPE_FP32 dims: -1 } output { name: "B" data_type: TYPE_FP32 dims: -1 }
ensemble_scheduling {
  step { model_name: "thread" model_version: -1 input_map { key: "X" value: "X" } output_map { key: "Y" value: "A" } }
  step { model_name: "thread" model_version: -1 input_map { key: "X" value: "X" } output_map { key: "Y" value: "B" } }
}
"""


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    """Serve the model in the server's process and in one of its own, and an ensemble that gives it one tensor twice."""
    repository = tmp_path_factory.mktemp("models")
    for kind in ("thread", "process"):
        (repository / kind / "1").mkdir(parents=True)
        (repository / kind / "1" / "model.py").write_text(SOURCE)
        where = f'parameters {{ key: "EXECUTION_MODE" value: {{ string_value: "{kind}" }} }}'
        (repository / kind / "config.pbtxt").write_text(f'name: "{kind}" backend: "python" {TENSORS} {where}')
    (repository / "twice" / "1").mkdir(parents=True)
    (repository / "twice" / "config.pbtxt").write_text(TWICE)
    modules = [
        charonia_backend_custom,
        charonia_frontend_grpc,
        charonia_frontend_http,
        charonia_scheduler_ensemble,
        charonia_transport_lean,
    ]
    plugins = Plugins(entry_points=(), extra=modules)
    with (
        Server(repository, options=ServerOptions(transport="lean", allow_client_shm=True), plugins=plugins) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as found,
    ):
        yield {url.partition(":")[0]: url.partition("//")[2] for url in found}


@pytest.fixture(params=["http", "grpc"])
def client(urls, request):
    """Ask over each of the protocols."""
    with MODULES[request.param].InferenceServerClient(urls[request.param]) as opened:
        yield opened


def asked(client, values):
    """Make an input."""
    module = tritonclient.http if isinstance(client, tritonclient.http.InferenceServerClient) else tritonclient.grpc
    return module.InferInput("X", values.shape, "FP32")


@pytest.mark.parametrize("count", [3, 5_000, 300_000])
@pytest.mark.parametrize("model", ["thread", "process"])
def test_inputs_from_the_network(client, model, count):
    """However small or large, and time after time, the model may write into what it was given."""
    values = np.arange(count, dtype=np.float32)
    tensor = asked(client, values)
    tensor.set_data_from_numpy(values)
    for _ in range(3):
        np.testing.assert_array_equal(client.infer(model, [tensor]).as_numpy("Y"), values + 1)


@pytest.mark.parametrize("model", ["thread", "process"])
def test_inputs_in_shared_memory_stay_as_their_client_wrote_them(client, model):
    """The model writes into a copy."""
    values = np.arange(50_000, dtype=np.float32)
    region = shared_memory.create_shared_memory_region("inputs", "/charonia_writing", values.nbytes)
    with closing(_Region(client, region, values)):
        tensor = asked(client, values)
        tensor.set_shared_memory("inputs", values.nbytes)
        for _ in range(2):
            np.testing.assert_array_equal(client.infer(model, [tensor]).as_numpy("Y"), values + 1)
        np.testing.assert_array_equal(shared_memory.get_contents_as_numpy(region, np.float32, values.shape), values)


class _Region:
    """A region that is registered, with values in it."""

    def __init__(self, client, region, values):
        self._client, self._region = client, region
        shared_memory.set_shared_memory_region(region, [values])
        client.register_system_shared_memory("inputs", "/charonia_writing", values.nbytes)

    def close(self):
        """Let it go."""
        self._client.unregister_system_shared_memory("inputs")
        shared_memory.destroy_shared_memory_region(self._region)


@pytest.mark.parametrize("count", [3, 300_000])
def test_tensor_of_two_steps_is_not_changed_by_either(client, count):
    """Each step writes into its own."""
    values = np.arange(count, dtype=np.float32)
    tensor = asked(client, values)
    tensor.set_data_from_numpy(values)
    answer = client.infer("twice", [tensor])
    for output in "AB":
        np.testing.assert_array_equal(answer.as_numpy(output), values + 1)

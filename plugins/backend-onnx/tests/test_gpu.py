"""What needs a GPU, and a build of ONNX Runtime for it: devices of instances, accelerators, memory."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from charonia.machine_gpus import machine_gpus
from charonia.request import InferenceRequest
from charonia_backend_onnx.providers import CUDA, TENSORRT

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not machine_gpus() or CUDA not in onnxruntime.get_available_providers(),
        reason="needs an NVIDIA GPU, and a build of ONNX Runtime for CUDA; this machine has none",
    ),
]

ON_GPU = "instance_group [ { kind: KIND_GPU count: 2 } ] "
X = np.arange(12, dtype=np.float32).reshape(4, 3)


def accelerated(name, parameters=""):
    return f'optimization {{ execution_accelerators {{ gpu_execution_accelerator [ {{ name: "{name}" {parameters} }} ] }} }}'


def answers_right(handle, weights):
    np.testing.assert_allclose(handle.infer({"X": X})["Y"], np.maximum(X @ weights, 0), rtol=1e-3, atol=1e-3)


def test_instances_run_on_the_gpu(serve, repository, models):
    """The session has CUDA, and the answer is the CPU's."""
    weights, model = models.perceptron()
    server = serve(repository(model, ON_GPU))
    answers_right(server.model("m"), weights)
    assert {group.kind for group in server.model_config("m").instance_group} == {1}


def test_a_gpu_is_the_default(serve, repository, models):
    """Without a group there is an instance on each GPU."""
    group = serve(repository(models.identity())).model_config("m").instance_group[0]
    assert list(group.gpus) == machine_gpus()


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "INT32", "INT64", "BOOL", "BF16"])
def test_datatypes_come_back_from_the_gpu(serve, repository, models, datatype):
    """An identity on the device gives back what it got."""
    server = serve(repository(models.identity(datatype), ON_GPU))
    sent = np.array([[1, 0, 1]]).astype(server.get("m").signature.inputs["X"].datatype.dtype)
    assert server.model("m").infer({"X": sent})["Y"].tolist() == sent.tolist()


def test_requests_of_one_execution_are_split(serve, repository, models):
    """Several requests together are answered each with its own rows."""
    server = serve(repository(models.identity(), ON_GPU))
    answers = []
    for number in range(20):
        server.submit(InferenceRequest("m", {"X": np.full((1, 3), number, np.float32)}, answers.append))
    server.close()
    assert sorted(float(answer["Y"][0, 0]) for answer in answers) == list(range(20))


def test_options_of_cuda_are_taken(serve, repository, models):
    """The accelerator `cuda`, with options of the provider, and the older parameters beside it."""
    weights, model = models.perceptron()
    more = accelerated("cuda", 'parameters { key: "cudnn_conv_use_max_workspace" value: "0" }')
    older = 'parameters { key: "gpu_mem_limit" value { string_value: "1000000000" } }'
    answers_right(serve(repository(model, ON_GPU + more + older)).model("m"), weights)


@pytest.mark.skipif(TENSORRT not in onnxruntime.get_available_providers(), reason="needs a build with TensorRT")
@pytest.mark.parametrize("precision", ["FP32", "FP16"])
def test_tensorrt_computes_the_same(serve, repository, models, precision):
    """The accelerator `tensorrt` gives the CPU's answer."""
    weights, model = models.perceptron()
    more = accelerated("tensorrt", f'parameters {{ key: "precision_mode" value: "{precision}" }}')
    answers_right(serve(repository(model, ON_GPU + more)).model("m"), weights)

"""What needs a GPU, and a build of TensorFlow for it: devices of instances, memory, accelerators."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from charonia.request import InferenceRequest

GPUS = tf.config.list_physical_devices("GPU")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not GPUS, reason="needs an NVIDIA GPU, and a build of TensorFlow for CUDA; this machine has none"
    ),
]

ON_GPU = "instance_group [ { kind: KIND_GPU count: 2 } ] "
X = np.array([[1, 2, 3], [-1, 0.5, 2]], np.float32)
WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4) - 6


def answers_right(handle, x="X", y="Y"):
    np.testing.assert_allclose(handle.infer({x: X})[y], np.maximum(X @ WEIGHTS, 0), rtol=1e-3, atol=1e-3)


def test_a_gpu_is_the_default(serve, repository, models):
    """Without a group there is an instance on each GPU, and the answer is the CPU's."""
    server = serve(repository(models.perceptron()))
    assert list(server.model_config("m").instance_group[0].gpus) == list(range(len(GPUS)))
    answers_right(server.model("m"))


def test_saved_model_runs_on_the_gpu(serve, repository, models, full_config):
    """The operators of an instance's session are placed on its device."""
    server = serve(repository(models.perceptron(), full_config(ON_GPU, y_dims="[ 4 ]")))
    answers_right(server.model("m"))
    (session, *_) = server.get("m")._loaded._sessions._opened
    assert any("GPU:0" in device.name for device in session.list_devices())


def test_frozen_graph_runs_on_the_gpu(serve, repository, models, full_config):
    """A GraphDef computes there what it computes on the CPU."""
    config = full_config(ON_GPU, x="x", y="y", y_dims="[ 4 ]")
    answers_right(serve(repository(models.frozen_perceptron(), config)).model("m"), "x", "y")


def test_instances_of_both_kinds_serve_one_model(serve, repository, models, full_config):
    """A session of the CPU, which sees no GPU, works beside that of a GPU."""
    more = ON_GPU.replace(" ] ", ", { kind: KIND_CPU count: 1 } ] ")
    server = serve(repository(models.perceptron(), full_config(more, y_dims="[ 4 ]")))
    answers = []
    for _ in range(30):
        server.submit(InferenceRequest("m", {"X": X}, answers.append))
    server.close()
    for answer in answers:
        np.testing.assert_allclose(answer["Y"], np.maximum(X @ WEIGHTS, 0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["auto_mixed_precision", "gpu_io"])
def test_accelerators_compute_the_same(serve, repository, models, full_config, name):
    """What rewrites the graph changes no more than the last digits."""
    more = (
        f'{ON_GPU} optimization {{ execution_accelerators {{ gpu_execution_accelerator [ {{ name: "{name}" }} ] }} }}'
    )
    handle = serve(repository(models.perceptron(), full_config(more, y_dims="[ 4 ]"))).model("m")
    np.testing.assert_allclose(handle.infer({"X": X})["Y"], np.maximum(X @ WEIGHTS, 0), rtol=1e-2, atol=1e-2)

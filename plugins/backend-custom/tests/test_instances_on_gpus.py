"""Instances on GPUs: models that are told theirs. What they do with it is their own affair, and none of these does anything."""

from __future__ import annotations

import pytest
from charonia.testing.builders import model_config, write_model
from charonia_backend_custom import backend

NOTING = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.told = f"{args['model_instance_kind']} {args['model_instance_device_id']} {args['model_instance_name']}"
        seen.append(self.told)

    def execute(self, requests):
        told = np.array([self.told.encode()], np.object_)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", told)]) for _ in requests]

seen = []
"""


@pytest.fixture(autouse=True)
def _two_gpus(monkeypatch):
    """Have the machine show two GPUs."""
    monkeypatch.setattr(backend, "machine_gpus", lambda: [0, 1])


@pytest.fixture
def write(serve):
    """Write the model with groups of instances."""

    def make(*groups, **parameters):
        config = model_config(
            "m", backend="python", inputs=[], outputs=[("Y", "BYTES", [1])], max_batch_size=0, parameters=parameters
        )
        for group in groups:
            config.instance_group.add(**group)
        write_model(serve.repository, config, {"1/model.py": NOTING})

    return make


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ([], {"GPU 0 m_0", "GPU 1 m_1"}),
        ([{"kind": "KIND_GPU", "gpus": [1], "count": 2}], {"GPU 1 m_0_0", "GPU 1 m_0_1"}),
        ([{"kind": "KIND_CPU"}], {"CPU 0 m_0_0"}),
    ],
)
def test_an_instance_is_told_its_gpu(serve, write, groups, told):
    """As in the reference, there is one for each GPU where nothing is said, and none on a GPU that is not asked for."""
    write(*groups)
    serve.start()
    assert set(serve.module().seen) == told


def test_a_process_is_told_its_gpu(serve, write):
    """A process of its own is told the same."""
    write({"kind": "KIND_GPU", "gpus": [1]}, EXECUTION_MODE="process")
    assert serve.start().model("m").infer({})["Y"][0].startswith(b"GPU 1 ")


def test_a_gpu_that_is_not_there(serve, write):
    """It is named, and the model is not served."""
    write({"kind": "KIND_GPU", "gpus": [2]})
    (row,) = serve.start(exit_on_error=False).index()
    assert "invalid or unsupported gpu id 2" in row.reason

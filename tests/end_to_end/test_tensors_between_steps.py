"""Tensors between the steps of an ensemble, where these are nets of PyTorch: handed on where they lie, also on a GPU."""

from __future__ import annotations

import queue
import warnings

import numpy as np
import pytest
import torch
from charonia import Server
from charonia.request import InferenceRequest
from charonia.tensor import as_numpy

CONFIG = """
backend: "pytorch"
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 1000 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 1000 ] }} ]
instance_group [ {{ kind: {} }} ]
"""
ENSEMBLE = """
platform: "ensemble"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 1000 ] } ]
output [ { name: "MADE" data_type: TYPE_FP32 dims: [ 1000 ] }, { name: "READ" data_type: TYPE_FP32 dims: [ 1000 ] } ]
ensemble_scheduling { step [
  { model_name: "adds" model_version: -1 input_map { key: "X" value: "X" } output_map { key: "Y" value: "MADE" } },
  { model_name: "same" model_version: -1 input_map { key: "X" value: "MADE" } output_map { key: "Y" value: "READ" } }
] }
"""
GPU = pytest.param(
    "KIND_GPU",
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(
            not torch.cuda.is_available(),
            reason="needs an NVIDIA GPU, and a build of PyTorch for CUDA; this machine has none",
        ),
    ],
)


class Adds(torch.nn.Module):
    """Makes a tensor."""

    def forward(self, x):
        """Add one."""
        return x + 1


class Same(torch.nn.Module):
    """Gives back the tensor that it gets."""

    def forward(self, x):
        """Do nothing."""
        return x


@pytest.mark.parametrize(("kind", "device"), [("KIND_CPU", "cpu"), GPU])
def test_a_net_gets_the_memory_that_the_one_before_it_made(tmp_path, kind, device):
    """What the second net gives back lies where the first one made it: it was not copied, and has not left its device."""
    for name, net in (("adds", Adds()), ("same", Same())):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(CONFIG.format(kind))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.script(net), tmp_path / name / "1" / "model.pt")
    (tmp_path / "e" / "1").mkdir(parents=True)
    (tmp_path / "e" / "config.pbtxt").write_text(ENSEMBLE)
    x = np.arange(1000, dtype=np.float32)
    answers = queue.SimpleQueue()
    with Server(tmp_path) as server:
        server.submit(InferenceRequest("e", {"X": x}, answers.put))
        answer = answers.get(timeout=60)
    assert answer.error is None
    made, read = (torch.from_dlpack(answer[name]) for name in ("MADE", "READ"))
    assert (made.device.type, made.data_ptr()) == (device, read.data_ptr())
    assert np.array_equal(as_numpy(answer["READ"]), x + 1)

"""Inputs that another model has left on a GPU: where a model finds them."""

from __future__ import annotations

import queue

import numpy as np
import pytest
from charonia.request import InferenceRequest

ON_CUDA = (2, 0)
TELLING = """
class TritonPythonModel:
    def execute(self, requests):
        (tensor,) = requests[0].inputs()
        array = tensor.as_numpy() if tensor.is_cpu() else np.array([0], np.int32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", array)]) for _ in requests]
"""


class OnGpu:
    """What a tensor of PyTorch on a GPU looks like from outside: a copy on the CPU is what can be read of it."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __dlpack__(self, **options):
        raise BufferError("this is no memory of the CPU")

    def __dlpack_device__(self):
        return ON_CUDA

    def cpu(self):
        """Bring it to the CPU."""
        return self.array


@pytest.mark.parametrize(
    ("parameters", "seen"),
    [
        ({}, 7),
        ({"FORCE_CPU_ONLY_INPUT_TENSORS": "yes"}, 7),
        ({"FORCE_CPU_ONLY_INPUT_TENSORS": "no"}, 0),
        ({"EXECUTION_MODE": "process"}, 7),
    ],
)
def test_inputs_are_brought_to_the_cpu(serve, parameters, seen):
    """Unless the model says that it takes them where they lie, as in the reference; a process of its own reads no GPU of another."""
    serve.write("m", TELLING, parameters=parameters)
    answers = queue.SimpleQueue()
    serve.start().submit(InferenceRequest("m", {"X": OnGpu(np.array([7], np.int32))}, answers.put))
    answer = answers.get(timeout=60)
    assert answer.error is None
    assert answer["Y"].tolist() == [seen]


def test_a_wrong_word_is_told(serve):
    """The reference knows two."""
    reason = serve.reason(TELLING, parameters={"FORCE_CPU_ONLY_INPUT_TENSORS": "maybe"})
    assert "'FORCE_CPU_ONLY_INPUT_TENSORS' of model 'm' is 'maybe': expected one of yes, no" in reason

"""Models in processes of their own: the configuration that puts them there, and one that can be killed."""

from __future__ import annotations

APART = {"parameters": {"EXECUTION_MODE": "process"}}

MORTAL = """
import os
class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            if x[0] < 0:
                os.kill(os.getpid(), -int(x[0]))
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([os.getpid()], np.int32))]))
        return responses
"""
"""Answers with its process's number; a negative X is the signal by which the process ends."""

"""A Python model that tells of its executions: each request learns in which one it was, and at which place.

It takes as long as the longest HOLD of its requests says, in milliseconds, so that a trace decides what waits together.
"""

import threading

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers each request with RUN: [the instance's number, the execution's number, the request's place in it]."""

    def initialize(self, args):
        """Begin to count."""
        self._instance = int(args["model_instance_name"].rpartition("_")[2])
        self._executions = 0

    def execute(self, requests):
        """Take the time that is asked for, and tell."""
        holds = [pb_utils.get_input_tensor_by_name(request, "HOLD").as_numpy() for request in requests]
        asked = [hold for place, hold in enumerate(holds) if is_asked(requests[place])]
        threading.Event().wait(max(int(hold.max()) for hold in asked) / 1000)
        self._executions += 1
        responses = []
        for place, hold in enumerate(holds):
            run = np.array([self._instance, self._executions, place], np.int32)
            tensor = pb_utils.Tensor("RUN", np.broadcast_to(run, (*hold.shape[:-1], 3)).copy())
            responses.append(pb_utils.InferenceResponse([tensor]))
        return responses


def is_asked(request):
    """Tell whether somebody has asked the request; others fill places in a batch, and what they hold means nothing."""
    ready = pb_utils.get_input_tensor_by_name(request, "READY")
    return ready is None or bool(ready.as_numpy().all())

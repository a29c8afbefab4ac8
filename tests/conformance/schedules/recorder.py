"""A Python model that tells of its executions: each request learns in which ones it was, and at which places.

An execution takes as long as the longest HOLD of its requests says, in milliseconds, so that a trace decides what waits together.
Where the model has iterative sequences, a request says by TURNS in how many executions it wants to be; HOLD is about the first.
"""

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils

LATER_MS = 150
"""How long an execution takes in which all requests have been before."""


class TritonPythonModel:
    """Answers each request with RUN: for each turn [the instance's number, the execution's number, the request's place in it].

    A decoupled model tells of each turn by itself.
    """

    def initialize(self, args):
        """Begin to count."""
        self._instance = int(args["model_instance_name"].rpartition("_")[2])
        self._decoupled = json.loads(args["model_config"])["model_transaction_policy"]["decoupled"]
        self._executions = 0
        self._runs = {}  # of the requests that have turns, by sequence

    def execute(self, requests):
        """Take the time that is asked for, and tell."""
        holds = [hold_ms(request) for request in requests if is_asked(request)]
        time.sleep(max(holds) / 1000)  # noqa: TID251 - it is what the trace is about; `steady_clock.py` sees to it
        self._executions += 1
        answers = [self._answer(request, place) for place, request in enumerate(requests)]
        if not self._decoupled:
            return answers
        for request, answer in zip(requests, answers, strict=True):
            ended = request.correlation_id() not in self._runs
            request.get_response_sender().send(answer, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL * ended)
        return None

    def _answer(self, request, place):
        """Give the answer of a turn; None where there is none."""
        run = [self._instance, self._executions, place]
        turns = number(request, "TURNS")
        if not turns or not is_asked(request):
            return response(request, run)
        runs = self._runs[request.correlation_id()] = [*self._runs.get(request.correlation_id(), []), run]
        if len(runs) == turns:
            del self._runs[request.correlation_id()]
            return response(request, run if self._decoupled else runs)
        request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
        return response(request, run) if self._decoupled else None


def number(request, name):
    """Give the greatest number in an input; 0 if the request has none of that name."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return 0 if tensor is None else int(tensor.as_numpy().max())


def hold_ms(request):
    """Tell how long an execution of the request takes."""
    return LATER_MS if number(request, "TURNS") and not request.flags() else number(request, "HOLD")


def response(request, runs):
    """Tell a request of its turns, in each row of its batch."""
    hold = pb_utils.get_input_tensor_by_name(request, "HOLD").as_numpy()
    told = np.array(runs, np.int32).ravel()
    tensor = pb_utils.Tensor("RUN", np.broadcast_to(told, (*hold.shape[:-1], len(told))).copy())
    return pb_utils.InferenceResponse([tensor])


def is_asked(request):
    """Tell whether somebody has asked the request; others fill places in a batch, and what they hold means nothing."""
    ready = pb_utils.get_input_tensor_by_name(request, "READY")
    return ready is None or bool(ready.as_numpy().all())

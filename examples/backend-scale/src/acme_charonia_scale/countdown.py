"""A backend that counts down: the full way, which gets the requests themselves and answers each of them many times."""

import numpy as np
from charonia.backend import Backend, Batch, Execution, InstanceContext, LoadedModel, ModelContext
from charonia.errors import InvalidArgumentError
from charonia.request import InferenceResponse
from charonia.tensor import as_numpy


class Countdown(Execution):
    def execute(self, batch: Batch) -> None:
        for request in batch.requests:
            start = int(as_numpy(request.inputs["START"])[0])
            if start < 0:
                request.fail(InvalidArgumentError(f"START is {start}: count down from 0 or more"))
            for number in range(start, 0, -1):
                if request.cancelled:
                    break
                request.respond(InferenceResponse({"LEFT": np.array([number], np.int32)}, final=False))
            request.respond(InferenceResponse())  # no more to come; dropped if the request has failed


class CountdownModel(LoadedModel):
    def instantiate(self, context: InstanceContext) -> Countdown:
        return Countdown(context)


class CountdownBackend(Backend):
    def load(self, context: ModelContext) -> CountdownModel:
        return CountdownModel(context)

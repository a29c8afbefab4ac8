"""What a request on its way through an ensemble asks of the models of its steps, which record it here."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.config import ModelConfig
from charonia.models import Models
from charonia.request import InferenceRequest, InferenceResponse
from charonia.testing.builders import model_config, scheduler_context
from charonia_scheduler_ensemble.scheduler import EnsembleScheduler


class Recorder(Models):
    """Answers every request with its inputs, and keeps it."""

    def __init__(self, config, parameters):
        self.config = config
        self.parameters = parameters
        self.asked = []

    def model_config(self, name, version=None):
        return self.config

    def submit(self, request):
        self.asked.append(request)
        request.respond(InferenceResponse({"Y": request.inputs["X"]}, parameters=self.parameters))


@pytest.mark.parametrize(("told", "second"), [({}, ("talk", 1)), ({"sequence_id": 7, "sequence_end": True}, (7, 2))])
def test_steps_get_what_the_request_says(told, second):
    """Id, parameters, priority, time-out, sequence and flags are handed on; a step's answer may name another sequence."""
    step = model_config("m", inputs=[("X", "FP32", [1])], outputs=[("Y", "FP32", [1])], max_batch_size=0)
    config = ModelConfig(name="e", platform="ensemble")
    config.input.add(name="I", dims=[1])
    config.output.add(name="O", dims=[1])
    steps = config.ensemble_scheduling.step
    steps.add(model_name="m", model_version=3, input_map={"X": "I"}, output_map={"Y": "m"})
    steps.add(model_name="m", model_version=-1, input_map={"X": "m"}, output_map={"Y": "O"})
    models = Recorder(step, told)
    scheduler = EnsembleScheduler(scheduler_context(config, models=models))
    said = {"id": "a", "parameters": {"key": 1}, "priority": 2, "timeout_us": 5, "correlation_id": "talk", "flags": 1}
    responses = []
    scheduler.enqueue(InferenceRequest("e", {"I": np.ones(1, np.float32)}, responses.append, **said))
    first, last = models.asked
    assert all(getattr(first, key) == value for key, value in said.items())
    assert (first.model_version, first.requested_outputs, last.model_version) == (3, ("Y",), None)
    assert (last.id, last.correlation_id, last.flags) == ("a", *second)
    assert responses[0].parameters["sequence_id"] == second[0]


class OnDevice:
    """A tensor that no host can read."""

    def __init__(self, shape=(1,)):
        self.shape = shape
        self.dtype = np.dtype(np.float32)
        self.base = self

    def __getitem__(self, key):
        view = OnDevice((1, *self.shape) if key is None else self.shape[1:])
        view.base = self.base
        return view

    def __dlpack__(self, **options):
        raise AssertionError("somebody reads it")

    def __dlpack_device__(self):
        return (2, 0)


@pytest.mark.parametrize("batch", [0, 4])
def test_tensors_stay_on_their_device(batch):
    """What a step makes on a device is what all its readers get, at most as a view with another batch dimension."""
    step = model_config("m", inputs=[("X", "FP32", [1])], outputs=[("Y", "FP32", [1])], max_batch_size=batch)
    config = ModelConfig(name="e", platform="ensemble")
    config.input.add(name="I", dims=[1])
    config.output.add(name="O", dims=[1])
    config.output.add(name="P", dims=[1])
    for read, written in (("I", "O"), ("O", "P")):
        config.ensemble_scheduling.step.add(
            model_name="m", model_version=-1, input_map={"X": read}, output_map={"Y": written}
        )
    models = Recorder(step, {})
    scheduler = EnsembleScheduler(scheduler_context(config, models=models))
    tensor, responses = OnDevice(), []
    scheduler.enqueue(InferenceRequest("e", {"I": tensor}, responses.append))
    (response,) = responses
    assert [request.inputs["X"].base for request in models.asked] == [tensor, tensor]
    assert {request.inputs["X"].shape for request in models.asked} == {(1, 1) if batch else (1,)}
    assert [response[name].base for name in ("O", "P")] == [tensor, tensor]
    assert response["O"].shape == (1,)


@pytest.mark.parametrize("away", [None, "first", "second"])
def test_ready_when_all_models_are(away):
    """An ensemble can answer while the models of all of its steps can."""

    class Some(Recorder):
        def can_serve(self, name, version=None):
            return name != away

    config = ModelConfig(name="e", platform="ensemble")
    for model in ("first", "second"):
        config.ensemble_scheduling.step.add(model_name=model, model_version=-1)
    scheduler = EnsembleScheduler(scheduler_context(config, models=Some(model_config("m"), {})))
    assert scheduler.ready == (away is None)

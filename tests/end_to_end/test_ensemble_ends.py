"""What ends a request on its way through an ensemble: its client's deadline or farewell, and the time that it may wait for a step."""

from __future__ import annotations

import queue

import grpc
import numpy as np
import pytest
from charonia import Server
from charonia.config import ModelConfig
from charonia.errors import UnavailableError
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia_protos import grpc_service_pb2 as pb

ROW = np.ones((1, 1), np.float32)
PATIENCE_SECONDS = 30


@pytest.fixture
def server(tmp_path):
    """A server of an ensemble of two models, each of which can be held up."""
    tensors = {"inputs": [("X", "FP32", [1])], "outputs": [("Y", "FP32", [1])]}
    ensemble = ModelConfig(name="e", platform="ensemble", max_batch_size=8)
    ensemble.input.add(name="X", data_type="TYPE_FP32", dims=[1])
    ensemble.output.add(name="Y", data_type="TYPE_FP32", dims=[1])
    for name, read, written in (("first", "X", "m"), ("second", "m", "Y")):
        config = model_config(name, parameters={"gate": name}, **tensors)
        policy = config.dynamic_batching.default_queue_policy
        policy.default_timeout_microseconds = 60_000_000
        policy.allow_timeout_override = True
        write_model(tmp_path, config)
        ensemble.ensemble_scheduling.step.add(
            model_name=name, model_version=-1, input_map={"X": read}, output_map={"Y": written}
        )
    write_model(tmp_path, ensemble)
    with Server(tmp_path, plugins=Plugins(extra=[ArithmeticPlugin()])) as server:
        yield server


@pytest.mark.parametrize("ends", ["deadline", "farewell"])
def test_no_step_begins_for_a_client_that_is_gone(server, taken_back, ends):
    """Where the client's deadline passes, or it takes its request back, the steps that have not begun never do."""
    request = pb.ModelInferRequest(model_name="e", raw_input_contents=[ROW.tobytes()])
    request.inputs.add(name="X", datatype="FP32", shape=[1, 1])
    with (
        serve_in_thread(server, {"grpc-port": 0, "allow-http": False}) as (url,),
        grpc.insecure_channel(url.removeprefix("grpc://")) as channel,
        Gate("first") as gate,
    ):
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        grpc.channel_ready_future(channel).result(PATIENCE_SECONDS)  # so that the deadline is not over before
        call = infer.future(request.SerializeToString(), timeout=3 if ends == "deadline" else PATIENCE_SECONDS)
        if ends == "farewell":
            gate.wait_entered()
            call.cancel()
        assert taken_back.acquire(timeout=PATIENCE_SECONDS)
        gate.open()
        server.model("first").infer({"X": ROW})  # what was before it has ended, and all that followed from it
    told = {row.name: row.counters for row in server.statistics()}
    assert (told["e"].fail.count, told["second"].execution_count) == (1, 0)


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_time_out_is_that_of_each_step(server, name):
    """A request that says how long it may wait ends at whichever step it would wait for longer, and the error names the step."""
    answers = queue.SimpleQueue()
    with Gate(name) as gate:
        server.submit(InferenceRequest(name, {"X": ROW}, answers.put))
        gate.wait_entered()
        with pytest.raises(UnavailableError) as caught:
            server.model("e").infer({"X": ROW}, timeout_us=1000)
    step = ("first", "second").index(name)
    assert str(caught.value) == f"in ensemble 'e', Request timeout expired (step {step}, model '{name}')"
    assert answers.get(timeout=PATIENCE_SECONDS).error is None

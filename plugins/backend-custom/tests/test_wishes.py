"""What a model in a process of its own wants of its server: streams of other models, loads, metrics."""

from __future__ import annotations

import pytest
from charonia.errors import UnavailableError
from charonia.testing.patience import wait_until
from models_apart import APART

COUNTDOWN = """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            left = int(pb_utils.get_input_tensor_by_name(request, "X").as_numpy()[0])
            sender = request.get_response_sender()
            while left > 0 and not sender.is_cancelled():
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([left], np.int32))]))
                left -= 1
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
READER = """
class TritonPythonModel:
    {async_}def execute(self, requests):
        x = pb_utils.get_input_tensor_by_name(requests[0], "X")
        call = pb_utils.InferenceRequest(model_name="countdown", inputs=[x], requested_output_names=["Y"])
        total = 0
        {loop}
            if response.has_error():
                raise pb_utils.TritonModelException(response.error().message())
            for tensor in response.output_tensors():
                total += int(tensor.as_numpy()[0])
            if total > 1_000:
                responses.cancel()
                break
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([total], np.int32))])]
"""
SYNC = {"async_": "", "loop": "responses = call.exec(decoupled=True)\n        for response in responses:"}
ASYNC = {
    "async_": "async ",
    "loop": "responses = await call.async_exec(decoupled=True)\n        async for response in responses:",
}


@pytest.mark.parametrize("way", [SYNC, ASYNC], ids=["sync", "async"])
@pytest.mark.parametrize("apart", [("m",), ("m", "countdown")])
def test_streams_of_other_models(serve, apart, way):
    """Each response comes, in order; who has enough cancels, and the other model learns of it."""
    serve.write("m", READER.format(**way), **APART)
    serve.write("countdown", COUNTDOWN, decoupled=True, **(APART if "countdown" in apart else {}))
    handle = serve.start().model("m")
    for number in (0, 1, 40):
        assert handle.infer({"X": [number]})["Y"].tolist() == [number * (number + 1) // 2]
    assert handle.infer({"X": [1_000_000]})["Y"].tolist() == [1_000_000]


def test_loads_and_unloads(serve):
    """A process may have other models loaded and unloaded while it executes, and is told whether they serve."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            seen = [pb_utils.is_model_ready("other")]
            pb_utils.load_model("other")
            seen.append(pb_utils.is_model_ready("other"))
            pb_utils.unload_model("other")
            seen.append(pb_utils.is_model_ready("other"))
            try:
                pb_utils.load_model("nobody")
            except pb_utils.TritonModelException as error:
                seen.append("nobody" in str(error))
            y = pb_utils.Tensor("Y", np.array(seen, np.int32))
            return [pb_utils.InferenceResponse([y])]
    """
    serve.write("m", source, outputs=[("Y", "INT32", [4])], **APART)
    serve.write("other", "class TritonPythonModel:\n    def execute(self, requests):\n        return None\n")
    server = serve.start(model_control_mode="explicit", load_model=["m"])
    assert server.model("m").infer({"X": [1]})["Y"].tolist() == [0, 1, 0, 1]


def test_metrics_outlive_a_process(serve):
    """What a process has counted stays when it ends, the next one counts on, and nothing is left once the model is unloaded."""
    source = """
    import os

    class TritonPythonModel:
        def initialize(self, args):
            family = pb_utils.MetricFamily(name="seen", description="d", kind=pb_utils.MetricFamily.COUNTER)
            self.seen = family.Metric(labels={"who": "m"})

        def execute(self, requests):
            x = pb_utils.get_input_tensor_by_name(requests[0], "X").as_numpy()
            self.seen.increment(1)
            if x[0] < 0:
                os._exit(1)
            y = np.array([self.seen.value()], np.int32)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]) for _ in requests]
    """
    serve.write("m", source, **APART)
    server = serve.start(model_control_mode="explicit", load_model=["m"])
    handle = server.model("m")

    def seen():
        return [sample.value for family in server.metrics() if family.name == "seen" for sample in family.samples]

    assert handle.infer({"X": [1]})["Y"].tolist() == [1]
    with pytest.raises(UnavailableError):
        handle.infer({"X": [-1]})
    wait_until(lambda: handle.ready)
    assert handle.infer({"X": [1]})["Y"].tolist() == [3]
    assert seen() == [3.0]
    server.unload("m")
    wait_until(lambda: seen() == [])

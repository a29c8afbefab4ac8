"""Models that do everything wrong harm no other model."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from charonia.errors import InferenceError, InternalError, UnavailableError
from models_apart import APART

GOOD = """
class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", tensor + 1)]) for tensor in tensors]
"""
PATIENCE_SECONDS = 30

FAULTS = {
    "raises": "raise RuntimeError('broken')",
    "exits": "import sys; sys.exit(1)",
    "too few responses": "return []",
    "too many responses": "return [pb_utils.InferenceResponse([])] * 9",
    "no list": "return 7",
    "no responses": "return [None for _ in requests]",
    "nothing": "return None",
}
"""What an `execute` does that fails its requests."""

ODD = {
    "wrong shape": "return [pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.zeros((2, 2), np.int32))]) for _ in requests]",
    "wrong dtype": "return [pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.zeros(1, np.float64))]) for _ in requests]",
    "unknown output": "return [pb_utils.InferenceResponse([pb_utils.Tensor('Q', np.zeros(1))]) for _ in requests]",
}
"""What an `execute` gives that is not what its configuration says: the reference passes it on, or drops it."""


@pytest.fixture
def beside(serve):
    """Serve a good model beside one whose `execute` has the given body; gives both, and checks the good one at the end."""
    handles = []

    def start(body, **config):
        serve.write("good", GOOD)
        serve.write("bad", f"class TritonPythonModel:\n    def execute(self, requests):\n        {body}\n", **config)
        server = serve.start()
        handles.append(server.model("good"))
        return server.model("bad"), server.model("good")

    yield start
    for good in handles:
        assert good.infer({"X": [1]})["Y"].tolist() == [2]


@pytest.mark.parametrize("apart", [{}, APART], ids=["thread", "process"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_the_answer_and_no_more(beside, fault, apart):
    """Each request gets its error, time after time, and the other model goes on."""
    bad, good = beside(FAULTS[fault], **apart)
    for _ in range(2):
        with pytest.raises(InternalError):
            bad.infer({"X": [1]})
        assert good.infer({"X": [4]})["Y"].tolist() == [5]


@pytest.mark.parametrize("apart", [{}, APART], ids=["thread", "process"])
@pytest.mark.parametrize("fault", ODD)
def test_an_odd_output_harms_nobody(beside, fault, apart):
    """It is passed on or dropped, as in the reference."""
    bad, good = beside(ODD[fault], **apart)
    answer = bad.infer({"X": [1]})
    assert list(answer.outputs) == ([] if fault == "unknown output" else ["Y"])
    assert good.infer({"X": [4]})["Y"].tolist() == [5]


@pytest.mark.parametrize("apart", [{}, APART], ids=["thread", "process"])
def test_sending_after_the_final_flag(beside, apart):
    """It is an error in the model's hands; the request has ended."""
    body = """for request in requests:
            sender = request.get_response_sender()
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.zeros(1, np.int32))]), 1)
            sender.send(pb_utils.InferenceResponse([]))"""
    bad, _ = beside(body, decoupled=True, **apart)
    for _ in range(2):
        assert len(list(bad.stream({"X": [1]}))) == 1


def test_a_model_that_ends_the_process(beside):
    """In a process of its own, it ends nothing else."""
    bad, _ = beside("import os; os._exit(9)", **APART)
    with pytest.raises(UnavailableError, match="exited with status 9"):
        bad.infer({"X": [1]})


@pytest.mark.parametrize("apart", [{}, APART], ids=["thread", "process"])
def test_a_model_that_hangs(serve, apart):
    """Who waits for it waits; the other model answers meanwhile."""
    body = "while not os.path.exists(pb_utils.get_model_dir() + '/go'): threading.Event().wait(0.01)"
    source = f"import os\nclass TritonPythonModel:\n    def execute(self, requests):\n        {body}\n        raise ValueError('late')\n"
    serve.write("good", GOOD)
    directory = serve.write("bad", source, **apart)
    server = serve.start()
    errors = []

    def wait():
        try:
            server.model("bad").infer({"X": [1]})
        except InferenceError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    for number in range(5):
        assert server.model("good").infer({"X": np.array([number], np.int32)})["Y"].tolist() == [number + 1]
    (directory / "1/go").touch()
    thread.join(PATIENCE_SECONDS)
    assert "late" in str(errors[0])


FAMILY = "pb_utils.MetricFamily(name='n', description='d', kind=pb_utils.MetricFamily.COUNTER)"


@pytest.mark.parametrize(
    ("source", "parameters"),
    [
        (f"family = {FAMILY}\n1 / 0", {}),
        (f"family = {FAMILY}\nclass TritonPythonModel: pass", {"NEVER_WAITS": "perhaps"}),
    ],
    ids=["it raises", "its parameters are wrong"],
)
def test_nothing_is_left_of_a_model_that_does_not_load(serve, source, parameters):
    """Neither its modules nor its metrics stay, however far it came."""
    serve.write("m", source, parameters=parameters)
    server = serve.start(exit_on_error=False)
    assert not server.model_ready("m")
    assert serve.modules() == []
    assert "n" not in [family.name for family in server.metrics()]

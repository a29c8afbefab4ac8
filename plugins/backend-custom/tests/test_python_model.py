"""The fixture `python_model`: a model's own test, with no server that its author would have to know of."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.errors import InternalError, InvalidArgumentError
from charonia.testing.stand_in import StandIn

CALLER = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "X", "data_type": "TYPE_FP32", "dims": [-1]})
        config.add_output({"name": "Y", "data_type": "TYPE_FP32", "dims": [-1]})
        return config

    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "X")) for request in requests]

    def answer(self, x):
        request = pb_utils.InferenceRequest(model_name="other", inputs=[x], requested_output_names=["Y"])
        total = 0
        for response in request.exec(decoupled=True):
            if response.has_error():
                return pb_utils.InferenceResponse(error=response.error())
            for tensor in response.output_tensors():
                total = total + tensor.as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("Y", total)])
"""
ARRAY = [("X", "FP32", [-1])], [("Y", "FP32", [-1])]


@pytest.fixture
def path(tmp_path):
    """Write a model that calls another one."""
    file = tmp_path / "caller.py"
    file.write_text(CALLER)
    return file


def test_calls_are_answered_by_the_test(python_model, path):
    """A function stands in for the other model, and remembers what it was asked."""
    other = StandIn(*ARRAY, lambda inputs: {"Y": inputs["X"] + 1})
    model = python_model(path, others={"other": other})
    assert model.infer({"X": [1, 2]})["Y"].tolist() == [2, 3]
    assert [call["X"].tolist() for call in other.calls] == [[1, 2]]


def test_a_generator_stands_in_for_a_decoupled_model(python_model, path):
    """Each item is a response."""

    def answer(inputs):
        yield {"Y": inputs["X"]}
        yield {"Y": 10 * inputs["X"]}

    model = python_model(path, others={"other": StandIn(*ARRAY, answer)})
    assert model.infer({"X": [1, 2]})["Y"].tolist() == [11, 22]


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(InvalidArgumentError("too long"), InvalidArgumentError), (ValueError("odd"), InternalError)],
)
def test_what_the_function_raises_is_the_calls_error(python_model, path, raised, seen):
    """A model's way with errors can be tested."""

    def answer(inputs):
        raise raised

    model = python_model(path, others={"other": StandIn(*ARRAY, answer)})
    with pytest.raises(seen, match=str(raised)):
        model.infer({"X": [1]})


@pytest.mark.parametrize(
    ("answer", "found"),
    [(lambda inputs: inputs["X"], "of type ndarray"), (lambda inputs: {"Z": inputs["X"]}, r"\['Z'\]")],
)
def test_an_answer_that_names_no_outputs(python_model, path, answer, found):
    """The error tells what the function gave, and what it must give."""
    model = python_model(path, others={"other": StandIn(*ARRAY, answer)})
    with pytest.raises(InternalError, match=rf"model 'other' is {found}: it must be a mapping .* \['Y'\], to arrays"):
        model.infer({"X": [1]})


def test_only_a_stand_in_stands_in(python_model, path):
    """Whatever else is given, the error names it, and what it must be."""
    with pytest.raises(
        TypeError, match=r"model 'other' is of type function: it must be a StandIn\(inputs, outputs, answer\)"
    ):
        python_model(path, others={"other": lambda inputs: inputs})
    odd = StandIn([("X", "float", [-1])], [], lambda inputs: inputs)
    with pytest.raises(ValueError, match="the datatype of tensor 'X' is 'float': it must be one of BOOL, UINT8"):
        python_model(path, others={"other": odd})


def test_a_configuration_of_the_tests_own(python_model, path):
    """Parameters, batching and the like can be tried without touching the stored configuration."""
    config = 'backend: "python"\ndefault_model_filename: "caller.py"\nmax_batch_size: 0\nparameters { key: "k" value { string_value: "v" } }'
    model = python_model(path, config=config, others={"other": StandIn(*ARRAY, lambda inputs: {"Y": np.zeros(1)})})
    assert model.config().parameters["k"].string_value == "v"
    assert model.infer({"X": [1]})["Y"].tolist() == [0]

"""Outputs are passed on without a copy, unless the model still holds their memory."""

from __future__ import annotations

import numpy as np
import pytest

SOURCE = """
class TritonPythonModel:
    def __init__(self):
        self.kept = np.zeros(4, np.int32)

    def execute(self, requests):
        x = requests[0].inputs()[0].as_numpy()
        self.kept[:] += 1
        {make}
        where = y.__array_interface__["data"][0]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)], parameters={{"where": where}})]
"""


def ask(serve, make):
    """Serve a model that makes its output in some way, and tell its answer and whether that was copied."""
    model = serve(SOURCE.format(make=make), inputs=[("X", "INT32", [4])], outputs=[("Y", "INT32", [4])])
    answer = model.infer({"X": np.ones(4, np.int32)})
    return model, answer, answer["Y"].__array_interface__["data"][0] != answer.parameters["where"]


@pytest.mark.parametrize("make", ["y = x * 2", "y = (x * 2)[1:]", "y = x", "y = np.frombuffer(bytes(16), np.int32)"])
def test_what_the_model_gives_away_is_not_copied(serve, make):
    """A new array, a view of one, an input passed through and memory that nobody can write are passed on."""
    assert not ask(serve, make)[2]


@pytest.mark.parametrize("make", ["y = self.kept", "y = self.kept[1:]", "y = self.y = x * 2"])
def test_what_the_model_keeps_is_copied(serve, make):
    """An array that the model keeps, or a view of one, is copied, so that the next answer does not change this one."""
    model, answer, copied = ask(serve, make)
    assert copied
    before = answer["Y"].tolist()
    model.infer({"X": np.ones(4, np.int32)})
    assert answer["Y"].tolist() == before


def test_a_sender_may_be_given_one_array_again_and_again(serve):
    """Each response of a stream has the values of its own moment."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            sender, y = requests[0].get_response_sender(), np.zeros(1, np.int32)
            for number in range(3):
                y[0] = number
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]))
            sender.send(flags=1)
    """
    responses = list(serve(source, decoupled=True).stream({"X": [0]}))
    assert [response["Y"].tolist() for response in responses] == [[0], [1], [2]]

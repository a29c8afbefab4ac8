"""Responses, errors and the rules of senders."""

from __future__ import annotations

import json

import numpy as np
import pytest
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
EMPTY = pb_utils.InferenceResponse()


class Line:
    """Collects what a sender passes on."""

    def __init__(self):
        self.sent = []

    def send(self, response, *, final):
        self.sent.append((response, final))

    def is_cancelled(self):
        return len(self.sent) > 1


def test_a_response_tells_what_it_was_made_from():
    """Outputs by their order and by name, no error, parameters as JSON."""
    tensor = pb_utils.Tensor("Y", np.zeros(1))
    response = pb_utils.InferenceResponse([tensor], parameters={"a": True})
    assert response.output_tensors() == [tensor]
    assert not response.has_error()
    assert response.error() is None
    assert json.loads(response.parameters()) == {"a": True}
    assert pb_utils.get_output_tensor_by_name(response, "Y") is tensor
    assert pb_utils.get_output_tensor_by_name(response, "X") is None
    assert "Y" in repr(response)


@pytest.mark.parametrize("error", [pb_utils.TritonError("e"), "e", ValueError("e")])
def test_errors_are_internal_unless_they_say_otherwise(error):
    """A TritonError, a text and any exception make an error."""
    response = pb_utils.InferenceResponse(error=error)
    assert response.has_error()
    assert response.error().message() == "e"
    assert response.error().code() == pb_utils.TritonError.INTERNAL
    assert "error=" in repr(response)


def test_codes():
    """The codes have the reference's numbers, and there are no others."""
    names = "UNKNOWN INTERNAL NOT_FOUND INVALID_ARG UNAVAILABLE UNSUPPORTED ALREADY_EXISTS CANCELLED"
    assert [getattr(pb_utils.TritonError, name) for name in names.split()] == list(range(8))
    assert pb_utils.TritonError("x", pb_utils.TritonError.CANCELLED).code() == 7
    with pytest.raises(ValueError, match="got the code 17"):
        pb_utils.TritonError("x", 17)


def test_what_makes_no_response():
    """Outputs are tensors, and parameters have plain values."""
    with pytest.raises(TypeError, match="holds Tensor objects, not int"):
        pb_utils.InferenceResponse([3])
    with pytest.raises(pb_utils.TritonModelException, match="'a' is a list"):
        pb_utils.InferenceResponse(parameters={"a": []})


def test_a_decoupled_sender_sends_until_its_end():
    """Responses pass in order; the end comes with one or alone."""
    line = Line()
    sender = pb_utils.InferenceResponseSender(line, decoupled=True)
    sender.send(EMPTY)
    assert not sender.is_cancelled()
    sender.send(EMPTY)
    assert sender.is_cancelled()
    sender.send(flags=FINAL)
    assert line.sent == [(EMPTY, False), (EMPTY, False), (None, True)]


@pytest.mark.parametrize(
    ("decoupled", "before", "call", "message"),
    [
        (True, [], {"flags": 7}, "Unable to send response. Unsupported flag provided."),
        (True, [], {}, "Inference Response object must be provided when the response flags is set to zero."),
        (
            True,
            [{"flags": FINAL}],
            {"response": EMPTY},
            "Unable to send response. Response sender has been closed.",
        ),
        (
            False,
            [{"response": EMPTY}],
            {"response": EMPTY},
            "Unable to send response. Non-decoupled model cannot send more than one response.",
        ),
        (
            False,
            [],
            {"flags": FINAL},
            "Unable to send response. Non-decoupled model cannot send complete final before sending a response.",
        ),
    ],
)
def test_wrong_use_of_a_sender(decoupled, before, call, message):
    """Each is told in the reference's words, and nothing is sent."""
    line = Line()
    sender = pb_utils.InferenceResponseSender(line, decoupled=decoupled)
    for good in before:
        sender.send(**good)
    with pytest.raises(pb_utils.TritonModelException) as told:
        sender.send(**call)
    assert str(told.value) == message
    assert len(line.sent) == len(before)


def test_only_responses_are_sent():
    """Something else is a TypeError."""
    with pytest.raises(TypeError, match="sends InferenceResponse objects, not int"):
        pb_utils.InferenceResponseSender(Line(), decoupled=True).send(5)

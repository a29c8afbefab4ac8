"""Requests: exactly one final response, from whichever thread, and what cancelling does."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from charonia.errors import CancelledError, ErrorCode, InternalError, UnavailableError
from charonia.request import InferenceRequest, InferenceResponse
from hypothesis import given
from hypothesis import strategies as st

OUTPUTS = {"Y": np.ones(1)}


def make(**options):
    answers = []
    return InferenceRequest("m", {"X": np.zeros(1)}, answers.append, **options), answers


def test_defaults():
    """A plain request asks for everything, of the greatest version, outside of any sequence."""
    request, _ = make()
    assert (request.model_name, request.model_version, request.id) == ("m", None, "")
    assert (request.requested_outputs, request.parameters) == ((), {})
    assert (request.priority, request.timeout_us, request.correlation_id, request.flags) == (0, 0, 0, 0)
    assert (request.batch_size, request.done, request.failed, request.cancelled) == (1, False, False, False)
    assert request.arrival_ns > 0


def test_nothing_is_shared_between_requests():
    """What one response or request is given does not show in another."""
    first, second = InferenceResponse(), InferenceResponse()
    assert first.outputs == {} == second.outputs
    assert first.outputs is not second.outputs
    assert make()[0].parameters is not make()[0].parameters


def test_responses_come_in_order_and_end_with_the_final_one():
    """Any number of responses, then the final one, then none."""
    request, answers = make()
    sent = [
        InferenceResponse(OUTPUTS, final=False),
        InferenceResponse(OUTPUTS, final=False),
        InferenceResponse(OUTPUTS),
    ]
    for response in [*sent, InferenceResponse(OUTPUTS), InferenceResponse(OUTPUTS, final=False)]:
        request.respond(response)
    request.fail(ValueError("late"))
    assert answers == sent
    assert request.done
    assert not request.failed


def test_account_is_taken_once_and_before_the_delivery():
    """The model's own account of a request is complete when its caller learns of the end."""
    told = []
    request = InferenceRequest("m", {}, lambda response: told.append(("sink", response.final)))
    request.accept(lambda which, response: told.append(("account", which is request, response.error)))
    request.respond(InferenceResponse(OUTPUTS, final=False))
    request.respond(InferenceResponse(OUTPUTS))
    request.respond(InferenceResponse(OUTPUTS))
    assert told == [("sink", False), ("account", True, None), ("sink", True)]


def test_failure_keeps_its_code():
    """An InferenceError is passed on as it is, to the caller and to the account."""
    request, answers = make()
    accounts = []
    request.accept(lambda _, response: accounts.append(response.error))
    error = UnavailableError("full")
    request.fail(error)
    assert answers[0].error is error is accounts[0]
    assert answers[0].final
    assert request.failed


@pytest.mark.parametrize("error", [ValueError("negative"), KeyboardInterrupt("negative")])
def test_foreign_failure_is_internal(error):
    """Anything that is not ours becomes INTERNAL, with its type and text."""
    request, answers = make()
    request.fail(error)
    assert isinstance(answers[0].error, InternalError)
    assert str(answers[0].error) == f"{type(error).__name__}: negative"


def test_cancelled_request_gets_no_results():
    """After `cancel`, responses are dropped, and the final one says CANCELLED."""
    request, answers = make()
    request.respond(InferenceResponse(OUTPUTS, final=False))
    request.cancel()
    assert request.cancelled
    request.respond(InferenceResponse(OUTPUTS, final=False))
    request.respond(InferenceResponse(OUTPUTS))
    assert len(answers) == 2
    assert answers[1].error.code is ErrorCode.CANCELLED
    assert answers[1].outputs == {}
    assert request.failed


def test_cancelled_request_keeps_another_error():
    """A failure of its own is told, though the caller has gone."""
    request, answers = make()
    request.cancel()
    request.fail(UnavailableError("full"))
    assert answers[0].error.code is ErrorCode.UNAVAILABLE


def test_cancel_after_the_end_does_nothing():
    """What was answered stays answered."""
    request, answers = make()
    request.respond(InferenceResponse(OUTPUTS))
    request.cancel()
    assert len(answers) == 1
    assert answers[0].error is None


def test_final_response_is_given_once_among_threads():
    """However many threads answer at the same moment, the sink sees one end."""
    for _ in range(50):
        request, answers = make()
        together = threading.Barrier(4)

        def answer(number, request=request, together=together):
            together.wait(30)
            if number % 2:
                request.fail(InternalError(str(number)))
            else:
                request.respond(InferenceResponse(OUTPUTS))

        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(answer, number) for number in range(4)]:
                future.result(30)
        assert len(answers) == 1
        assert answers[0].final


@given(st.lists(st.sampled_from(["more", "final", "fail", "cancel"])))
def test_any_order_of_calls_keeps_the_promise(calls):
    """At most one final response, it is the last one, and it is there if anybody ended the request."""
    request, answers = make()
    for call in calls:
        if call == "cancel":
            request.cancel()
        elif call == "fail":
            request.fail(ValueError("x"))
        else:
            request.respond(InferenceResponse(OUTPUTS, final=call == "final"))
    finals = [response for response in answers if response.final]
    ended = "final" in calls or "fail" in calls
    assert len(finals) == ended == request.done
    assert not ended or answers[-1].final
    if "cancel" in calls and ended:
        ends = [place for place, call in enumerate(calls) if call in {"final", "fail"}]
        if calls.index("cancel") < ends[0] and calls[ends[0]] == "final":
            assert isinstance(answers[-1].error, CancelledError)


def test_response_is_read_by_output_name():
    """An output is had by its name; an unknown one is a KeyError."""
    response = InferenceResponse(OUTPUTS, parameters={"a": 1})
    assert response["Y"] is OUTPUTS["Y"]
    assert response.parameters == {"a": 1}
    with pytest.raises(KeyError):
        response["Z"]


def test_representations_show_no_data():
    """Logs show names, not tensors."""
    request, _ = make(id="7")
    assert repr(request) == "InferenceRequest(model='m', id='7', inputs=['X'])"
    assert repr(InferenceResponse(OUTPUTS)) == "InferenceResponse(outputs=['Y'], final=True)"
    assert (
        repr(InferenceResponse(error=InternalError("x"))) == "InferenceResponse(error=InternalError('x'), final=True)"
    )


def test_child_is_cancelled_with_its_parent():
    """Whoever takes a request back takes back what other models were asked for its sake, and not the other way round."""
    parent, child_answers = InferenceRequest("a", {}, print, id="7", parameters={"k": 1}, flags=1), []
    child = parent.child("b", {}, child_answers.append)
    assert (child.id, child.parameters, child.flags, child.parent) == ("7", {"k": 1}, 1, parent)
    child.cancel()
    assert not parent.cancelled
    other = parent.child("b", {}, child_answers.append)
    assert not other.cancelled
    parent.cancel()
    assert other.cancelled
    other.respond(InferenceResponse())
    assert isinstance(child_answers[0].error, CancelledError)

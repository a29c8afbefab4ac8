"""Iterative sequences: each request is a sequence of its own, which its model has executed as often as it likes."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.batch import NullRequest
from charonia.errors import InvalidArgumentError, UnavailableError
from charonia.request import SEQUENCE_END, SEQUENCE_START, InferenceResponse

DIRECT = "iterative_sequence: true "
OLDEST = DIRECT + "oldest { max_candidate_sequences: 4 } "
CONTROLS = """
    control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
    control_input { name: "END" control { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } }
    control_input { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }
"""
TEXT_ID = 'control_input { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }'
STATE = 'state { input_name: "IN" output_name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] }'

both = pytest.mark.parametrize("section", [DIRECT, OLDEST], ids=["direct", "oldest"])


def turn(model, instance="only"):
    """Let every request of a batch have another turn; give their inputs, None for a place without a request."""
    batch = model.take(instance) or []
    for request in batch:
        request.reschedule()
    return [None if isinstance(request, NullRequest) else int(request.inputs["X"].item()) for request in batch]


@both
def test_a_request_is_executed_until_it_is_answered(model, section):
    """The same request comes again and again, START only the first time, END never."""
    model = model(section + CONTROLS)
    call = model.send(0, 7)
    told = []
    for _ in range(3):
        (request,) = model.take()
        told.append([request.inputs[name].item() for name in ("X", "START", "END", "ID")] + [request.flags])
        request.reschedule()
        request.reschedule()
    assert told == [[7, 1, 0, 1, SEQUENCE_START], [7, 0, 0, 1, 0], [7, 0, 0, 1, 0]]
    assert not call.responses
    assert model.values() == [7]
    (response,) = call.responses
    assert response["Y"].item() == 7
    assert model.take() is None
    assert model.scheduler.pending == 0


@both
def test_requests_without_an_id_are_numbered(model, section):
    """Whoever names no sequence gets one of his own."""
    model = model(section)
    calls = [model.send(0, value) for value in (5, 6)]
    assert turn(model) == [5, 6]
    assert [request.correlation_id for request in model.take()] == [1, 2]
    assert [call.request.correlation_id for call in calls] == [1, 2]


def test_numbers_as_text(model):
    """Where the model's control takes text, it gets the number as text, and nothing where there is no request."""
    model = model(DIRECT + TEXT_ID)
    model.send(0, 1)
    second = model.send(0, 2)
    first, _ = model.take()
    assert first.inputs["ID"].item() == b"1"
    model.execute(first)
    second.request.cancel()
    assert turn(model) == []


@both
def test_ids_of_clients(model, section):
    """A client may name its request, which then starts a sequence; one that is to go on with another's is refused."""
    model = model(section)
    call = model.send(9, 1, start=True, end=True)
    (request,) = model.take()
    assert (request.correlation_id, request.flags) == (9, SEQUENCE_START)
    request.reschedule()
    with pytest.raises(InvalidArgumentError, match="must specify the START flag on the first request"):
        model.send(9, 2)
    with pytest.raises(InvalidArgumentError, match="must specify the START flag on the first request"):
        model.send(8, 2, end=True)
    assert model.values() == [1]
    assert call.request.flags & SEQUENCE_END == 0


def test_direct_places_stay(model):
    """A request keeps its place in the batch through all its turns; who ends leaves an empty place, or gives it to another."""
    model = model(DIRECT, max_batch_size=2)
    for value in (1, 2, 3):
        model.send(0, value)
    assert turn(model) == [1, 2]
    first, second = model.take()
    model.execute(first)
    second.reschedule()
    assert turn(model) == [3, 2]
    first, second = model.take()
    second.reschedule()
    model.execute(first)
    assert model.values() == [None, 2]


def test_all_go_on_together(model):
    """With the strategy oldest, new requests and those that come again make one batch, as soon as the instance is free."""
    model = model(OLDEST)
    model.send(0, 1)
    (first,) = model.take()
    for value in (2, 3):
        model.send(0, value)
    first.reschedule()
    assert turn(model) == [2, 3, 1]
    second, third, first = model.take()
    model.execute(second)
    model.send(0, 4)
    for request in (third, first):
        request.reschedule()
    assert turn(model) == [4, 3, 1]


def test_candidates(model):
    """A request without a slot waits until another one has ended, not until it has had a turn."""
    model = model(DIRECT + "oldest { max_candidate_sequences: 1 }")
    for value in (1, 2):
        model.send(0, value)
    assert [turn(model), turn(model), model.values(), turn(model), model.values()] == [[1], [1], [1], [2], [2]]


def test_time_out_in_the_backlog(model):
    """A request may say for how long it waits for a slot; its turns may take any time."""
    model = model(DIRECT + "oldest { max_candidate_sequences: 1 }")
    served = model.send(0, 1, timeout_us=1000)
    waiting = model.send(0, 2, timeout_us=1000)
    assert turn(model) == [1]
    model.clock.advance(1)
    assert waiting.error == "timeout of the corresponding sequence has been expired"
    assert model.values() == [1]
    assert served.responses[0].error is None


@both
def test_no_time_makes_it_idle(model, section):
    """However long a turn, or the way to the next one, takes: the sequence goes on."""
    model = model(section + "max_sequence_idle_microseconds: 1000000")
    model.send(0, 1)
    (request,) = model.take()
    model.clock.advance(5)
    request.reschedule()
    model.clock.advance(5)
    assert turn(model) == [1]
    model.clock.advance(5)
    assert model.values() == [1]


@both
def test_taken_back_between_turns(model, section):
    """A request that its client takes back while it waits for its next turn has none, and its slot is free."""
    model = model(section, max_batch_size=1)
    call = model.send(0, 1)
    assert turn(model) == [1]
    call.request.cancel()
    model.send(0, 2)
    assert model.values() == [2]
    assert call.cancelled
    assert model.scheduler.pending == 0


@both
def test_taken_back_while_executed(model, section):
    """A request that its client takes back while it has a turn has no other, and is answered."""
    model = model(section)
    call = model.send(0, 1)
    (request,) = model.take()
    call.request.cancel()
    request.reschedule()
    assert model.take() is None
    assert call.cancelled
    assert request.done


@both
def test_answered_between_turns(model, section):
    """What was told to end while it waited for its next turn has none."""
    model = model(section)
    call = model.send(0, 1)
    (request,) = model.take()
    request.reschedule()
    model.execute(request)
    assert model.take() is None
    assert len(call.responses) == 1
    assert model.scheduler.pending == 0
    request.reschedule()
    assert model.take() is None


@both
def test_the_end_comes_between(model, section):
    """Where one thread ends a request just when another one gives it back, it has no other turn, and its slot is another's."""
    model = model(section, max_batch_size=1)
    model.send(0, 1)
    (request,) = model.take()
    take_back = request.turns.take_back
    model.execute(request)
    model.send(0, 2)
    take_back()
    assert model.scheduler.pending == 1
    assert model.values() == [2]
    assert model.take() is None


@both
def test_a_failure_ends_it(model, section):
    """A turn that fails is the last one."""
    model = model(section)
    call = model.send(0, 1)
    assert turn(model) == [1]
    (request,) = model.take()
    request.fail(ValueError("no more"))
    assert model.take() is None
    assert "no more" in call.error


@both
def test_responses_in_every_turn(model, section):
    """A model may tell something in each turn, and between them."""
    model = model(section)
    call = model.send(0, 1)
    for number in (1, 2):
        (request,) = model.take()
        request.respond(InferenceResponse({"Y": np.full(1, number)}, final=False))
        request.reschedule()
        request.respond(InferenceResponse({"Y": np.full(1, 10 * number)}, final=False))
    assert model.values() == [1]
    assert [int(response["Y"].item()) for response in call.responses] == [1, 10, 2, 20, 1]
    assert [response.final for response in call.responses] == [False] * 4 + [True]


@both
def test_states_go_on(model, section):
    """A state that a turn leaves is there in the next one, and nobody else's; a client is told of its outputs alone."""
    model = model(section + STATE)
    calls = [model.send(0, value) for value in (1, 2)]
    for number in (1, 2, 3):
        for request in model.take():
            value = int(request.inputs["X"].item())
            state = int(request.inputs["IN"].item())
            assert state == value * (number - 1)
            request.respond(InferenceResponse({"OUT": np.full((1, 1), state + value, np.int32)}, final=False))
            request.reschedule()
    for request in model.take():
        model.execute(request)
    assert [[list(response.outputs) for response in call.responses] for call in calls] == [[["Y"]], [["Y"]]]


def test_turns_and_times_are_counted(model):
    """A request waits until its first turn, computes in all of them, and counts as so many inferences."""
    model = model(OLDEST)
    call = model.send(0, 1)
    for number in (1, 2, 3):
        (request,) = model.take()
        request.started_ns = 100 * number
        request.compute_ns = (1, 2, 3)
        if number < 3:
            request.reschedule()
    asked = call.request
    assert asked.turns.count == 3
    request.respond(InferenceResponse({}))
    assert (asked.started_ns, asked.compute_ns) == (100, (3, 6, 9))


@both
def test_closing(model, section):
    """When the model goes, what waits has one more turn, and then ends with an error rather than never."""
    model = model(section, max_batch_size=1)
    first, second = model.send(0, 1), model.send(0, 2)
    assert turn(model) == [1]
    model.scheduler.close()
    with pytest.raises(UnavailableError):
        model.send(0, 3)
    assert sorted([turn(model), turn(model)]) == [[1], [2]]
    assert model.scheduler.next_batch("only") is None
    assert all("Server is stopping" in call.error for call in (first, second))


def test_other_models_take_nothing_back(model):
    """Where the configuration has no iterative sequences, a request that is given back is answered with an error that says so."""
    model = model("")
    call = model.send("a", 1, start=True)
    assert turn(model) == [1]
    assert "iterative_sequence: true" in call.error
    model.send("a", 2)
    assert model.values() == [2]

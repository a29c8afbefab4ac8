"""Sequences from their start to their end, whichever way that comes: what both ways of batching have in common."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.errors import InvalidArgumentError, UnavailableError
from charonia.request import InferenceRequest, InferenceResponse

DIRECT = ""
OLDEST = "oldest { max_candidate_sequences: 4 }"
STATE = 'state { input_name: "IN" output_name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] }'
both = pytest.mark.parametrize("section", [DIRECT, OLDEST])
NO_START = "inference request for sequence {} to model 'model' must specify the START flag on the first request of the sequence"


@both
def test_refusals(model, section):
    """What cannot be part of a sequence is refused with the reference's text, batch size first."""
    model = model(section)
    with pytest.raises(InvalidArgumentError) as refused:
        model.send(0, start=True)
    assert (
        str(refused.value) == "inference request to model 'model' must specify a non-zero or non-empty correlation ID"
    )
    for name in (5, "five"):
        with pytest.raises(InvalidArgumentError) as refused:
            model.send(name)
        assert str(refused.value) == NO_START.format(name)
    request = InferenceRequest("model", {"X": np.zeros((2, 1), np.int32)}, lambda _: None)
    request.batch_size = 2
    with pytest.raises(InvalidArgumentError) as refused:
        model.scheduler.enqueue(request)
    assert str(refused.value) == (
        "inference request to model 'model' must specify batch-size 1 due to requirements of sequence batcher"
    )
    assert model.scheduler.pending == 0


@both
def test_ids_as_numbers_and_as_text(model, section):
    """A number and its text are two sequences."""
    model = model(section)
    model.send(5, 1, start=True)
    model.send("5", 2, start=True)
    assert model.values() == [1, 2]


@pytest.mark.parametrize("section", [DIRECT, "oldest { max_candidate_sequences: 1 }"])
def test_short_sequences_are_spread(model, section):
    """Of the slots with the same number, the next sequence has the one that has been free for longest, though its instance is later."""
    model = model(section, instances=("A", "B", "C"), max_batch_size=1)
    for value, instance in enumerate("ABCABC", start=1):
        model.send(value, value, start=True, end=True)
        assert model.values(instance) == [value]


@both
def test_idle_sequence_ends(model, section):
    """A sequence that has been silent for that long is over, and its slot is free."""
    model = model(section + " max_sequence_idle_microseconds: 1000000", max_batch_size=1)
    model.send("a", 1, start=True)
    model.clock.advance(0.5)
    model.send("a", 2)
    assert [model.values(), model.values()] == [[1], [2]]
    model.clock.advance(0.9)
    model.send("a", 3)
    assert model.values() == [3]
    model.clock.advance(1)
    with pytest.raises(InvalidArgumentError):
        model.send("a", 4)


def test_idle_sequence_gives_its_slot_to_the_backlog(model):
    """Whoever waits for a slot gets that of a silent sequence, without being asked again."""
    model = model("max_sequence_idle_microseconds: 1000000", max_batch_size=1)
    model.send("a", 1, start=True)
    model.values()
    model.send("b", 2, start=True)
    assert model.values() is None
    model.clock.advance(1)
    assert model.values() == [2]


@both
def test_a_sequence_is_not_idle_while_it_waits_for_the_server(model, section):
    """However long its requests wait, or are executed, a sequence goes on: it is idle from its last answer on."""
    model = model(section + " max_sequence_idle_microseconds: 1000000", max_batch_size=1)
    model.send("a", 1, start=True)
    model.clock.advance(5)
    model.send("a", 2)
    (first,) = model.take()
    model.clock.advance(5)
    model.send("a", 3)
    model.execute(first)
    assert [model.values(), model.values()] == [[2], [3]]
    model.clock.advance(0.9)
    model.send("a", 4)
    (last,) = model.take()
    model.clock.advance(5)
    model.execute(last)
    model.clock.advance(0.9)
    model.send("a", 5)
    assert model.values() == [5]
    model.clock.advance(1)
    with pytest.raises(InvalidArgumentError):
        model.send("a", 6)


@both
def test_a_server_that_was_stopped_listens_before_it_ends_a_sequence(model, section):
    """What a client has sent while the process did not run may not have been read yet: it is not the client who was silent."""
    model = model(section + " max_sequence_idle_microseconds: 5000000", max_batch_size=1)
    model.send("a", 1, start=True)
    assert model.values() == [1]
    for value in (2, 3):
        model.clock.stall(20)
        model.clock.advance(0.9)
        model.send("a", value)
        assert model.values() == [value]
    model.clock.stall(20)
    model.clock.advance(1)
    with pytest.raises(InvalidArgumentError):
        model.send("a", 4)


def test_a_server_that_is_always_late_ends_sequences_nevertheless(model):
    """Another moment is given once, however late it is when that is over, and no longer than a sequence may be silent."""
    model = model("max_sequence_idle_microseconds: 300000", max_batch_size=1)
    for name, value in (("a", 1), ("b", 2)):
        model.send(name, value, start=True)
    assert model.values() == [1]
    model.clock.stall(1)
    assert model.values() is None
    model.clock.stall(1)
    assert model.values() == [2]


def test_a_slot_stays_while_its_request_is_executed(model):
    """A slot is given away when its owner has been idle, which begins with the answer."""
    model = model("max_sequence_idle_microseconds: 1000000", max_batch_size=1)
    model.send("a", 1, start=True)
    (running,) = model.take()
    model.send("b", 2, start=True)
    model.clock.advance(2)
    assert model.values() is None
    model.execute(running)
    assert model.values() is None
    model.clock.advance(1)
    assert model.values() == [2]


def test_backlogged_sequence_is_not_idle(model):
    """A sequence does not end while it waits for a slot, nor in the first moment after that."""
    model = model("max_sequence_idle_microseconds: 1000000", max_batch_size=1)
    model.send("a", 1, start=True)
    model.send("b", 2, start=True)
    for _ in range(5):
        model.clock.advance(0.9)
        model.send("a", 1)
    for _ in range(6):
        assert model.values() == [1]
    model.send("a", end=True)
    assert [model.values(), model.values()] == [[0], [2]]
    model.clock.advance(0.9)
    model.send("b", 3)
    assert model.values() == [3]


def test_time_out_in_the_backlog(model):
    """When one request has waited too long for a slot, its whole sequence is refused."""
    model = model("max_sequence_idle_microseconds: 9000000", max_batch_size=1)
    model.send("a", 1, start=True)
    model.values()
    calls = [model.send("b", 2, start=True), model.send("b", 3, timeout_us=500_000)]
    patient = model.send("c", 4, start=True)
    model.clock.advance(0.4)
    assert not calls[0].responses
    model.clock.advance(0.2)
    for call in calls:
        assert call.error == "timeout of the corresponding sequence has been expired"
        assert isinstance(call.responses[0].error, UnavailableError)
    with pytest.raises(InvalidArgumentError):
        model.send("b", 5)
    model.send("a", 6, end=True)
    assert [model.values(), model.values()] == [[6], [4]]
    assert patient.responses


def test_time_out_is_for_the_backlog_alone(model):
    """A request in a slot waits for as long as it takes."""
    model = model("max_sequence_idle_microseconds: 9000000")
    model.send("a", 1, start=True, timeout_us=1)
    model.clock.advance(1)
    assert model.values() == [1]


@both
def test_cancellation_ends_the_sequence(model, section):
    """A request that is taken back before its turn ends its sequence: what is queued behind it is taken back, too."""
    model = model(section)
    model.send("a", 1, start=True)
    taken_back, behind = model.send("a", 2), model.send("a", 3)
    taken_back.request.cancel()
    assert model.values() == [1]
    assert model.values() is None
    assert taken_back.cancelled
    assert behind.cancelled
    with pytest.raises(InvalidArgumentError):
        model.send("a", 4)
    assert model.scheduler.pending == 0


def test_cancellation_in_the_backlog(model):
    """A sequence that is taken back while it waits does not get a slot."""
    model = model("", max_batch_size=1)
    model.send("a", 1, start=True, end=True)
    calls = [model.send("b", 2, start=True), model.send("b", 3)]
    model.send("c", 4, start=True)
    calls[0].request.cancel()
    assert [model.values(), model.values()] == [[1], [4]]
    assert all(call.cancelled for call in calls)


@both
def test_starting_again_behind_a_cancellation(model, section):
    """A sequence that its client starts again goes on from there, whatever was taken back before."""
    model = model(section)
    model.send("a", 1, start=True)
    taken_back, behind, again = model.send("a", 2), model.send("a", 3), model.send("a", 4, start=True)
    taken_back.request.cancel()
    assert [model.values(), model.values(), model.values()] == [[1], [4], None]
    assert taken_back.cancelled
    assert (
        behind.error
        == "sequence a of model 'model' has ended, as an earlier request of it was cancelled: start it again"
    )
    assert not again.cancelled
    model.send("a", 5, end=True)
    assert model.values() == [5]


@both
def test_starting_again_while_a_cancelled_request_is_executed(model, section):
    """The same where the request is taken back while it is executed."""
    model = model(section)
    first = model.send("a", 1, start=True)
    (request,) = model.take()
    first.request.cancel()
    behind = model.send("a", 2)
    model.send("a", 3, start=True)
    model.execute(request)
    assert first.cancelled
    assert behind.cancelled
    assert model.values() == [3]


def test_starting_again_in_the_backlog(model):
    """A client that has waited for a slot in vain, and tries again, keeps its place."""
    model = model("", max_batch_size=1)
    model.send("a", 1, start=True, end=True)
    first, again = model.send("b", 2, start=True), model.send("b", 3, start=True, end=True)
    first.request.cancel()
    model.send("c", 4, start=True)
    assert [model.values(), model.values(), model.values()] == [[1], [3], [4]]
    assert first.cancelled
    assert not again.cancelled


@pytest.mark.parametrize(("patience_us", "executed"), [(0, True), (1_000_000, True), (300_000, False)])
def test_patience_of_a_cancelled_request_in_the_backlog(model, patience_us, executed):
    """It ends with the request: where its sequence starts again, that waits for as long as it says itself."""
    model = model("", max_batch_size=1)
    model.send("a", 1, start=True)
    first, behind = model.send("b", 2, start=True, timeout_us=500_000), model.send("b", 3, timeout_us=600_000)
    again = model.send("b", 4, start=True, end=True, timeout_us=patience_us)
    first.request.cancel()
    model.clock.advance(0.7)
    assert first.cancelled
    assert behind.error == (
        "sequence b of model 'model' has ended, as an earlier request of it was cancelled: start it again"
    )
    model.send("a", 5, end=True)
    assert [model.values(), model.values()] == [[1], [5]]
    assert model.values() == ([4] if executed else None)
    if not executed:
        assert again.error == "timeout of the corresponding sequence has been expired"


def test_time_out_of_a_cancelled_request_in_the_backlog_is_none(model):
    """What was taken back before its time was over is told as cancelled, and not as refused."""
    model = model("", max_batch_size=1)
    model.send("a", 1, start=True)
    taken_back = model.send("b", 2, start=True, timeout_us=500_000)
    taken_back.request.cancel()
    model.clock.advance(0.6)
    assert taken_back.cancelled


@pytest.mark.parametrize("fails", [False, True])
def test_late_answer_of_the_former_owner(model, fails):
    """What comes after a sequence has given up its slot changes nothing for the next one."""
    model = model(STATE, max_batch_size=1)
    model.send("a", 1, start=True, end=True)
    (late,) = model.take()
    model.send("b", 2, start=True)
    model.send("b", 3)
    (running,) = model.take()
    if fails:
        late.fail(ValueError("no"))
    else:
        model.execute(late, OUT=np.array([[77]], np.int32))
    assert model.take() is None
    model.execute(running, OUT=np.array([[5]], np.int32))
    (third,) = model.take()
    assert third.inputs["IN"].item() == 5


@both
def test_cancellation_while_executing(model, section):
    """What is being executed is not interrupted; its caller learns that it is taken back, and its sequence ends.

    What it would have left to the next request is dropped with its answer: going on would give wrong answers without a word.
    """
    model = model(section)
    call = model.send("a", 1, start=True)
    (request,) = model.take()
    call.request.cancel()
    assert request.cancelled
    behind = model.send("a", 2)
    model.execute(request)
    assert call.cancelled
    assert behind.cancelled
    with pytest.raises(InvalidArgumentError):
        model.send("a", 3)
    model.send("a", 4, start=True)
    assert model.values() == [4]


@both
def test_closed(model, section):
    """After `close` nothing is held back, and nothing accepted."""
    model = model(section)
    model.send("a", 1, start=True)
    model.scheduler.close()
    with pytest.raises(UnavailableError) as refused:
        model.send("b", 2, start=True)
    assert str(refused.value) == (
        "Server is stopping, scheduler for model has stopped accepting new inference requests"
    )
    assert model.scheduler.next_batch("only").requests[0].inputs["X"] == 1
    assert model.scheduler.next_batch("only") is None


def test_client_gets_the_times_of_the_execution(model):
    """The request that was asked has the times of the one that was executed for it."""
    model = model("")
    call = model.send("a", 1, start=True)
    (request,) = model.take()
    request.started_ns, request.compute_ns = 77, (1, 2, 3)
    request.respond(InferenceResponse({}))
    assert (call.request.started_ns, call.request.compute_ns) == (77, (1, 2, 3))

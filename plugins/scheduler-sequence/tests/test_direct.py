"""Direct: each slot is a place in the batch."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.batch import Batch, NullRequest
from charonia.request import InferenceResponse
from charonia.statistics import ModelStatistics

IDLE = "max_sequence_idle_microseconds: 1000000 "


def test_sequence_keeps_its_place(model):
    """A sequence's requests are always at the same place; a place before it without a request is empty, none is after it."""
    model = model(IDLE)
    model.send("a", 1, start=True)
    model.send("b", 2, start=True)
    assert model.values() == [1, 2]
    model.send("b", 3)
    assert model.values() == [None, 3]
    model.send("a", 4)
    assert model.values() == [4]
    assert model.values() is None


def test_one_request_of_a_sequence_at_a_time(model):
    """What is queued for a slot is executed one after the other, in its order."""
    model = model(IDLE)
    for number in range(3):
        model.send("a", number, start=number == 0)
    assert [model.values() for _ in range(4)] == [[0], [1], [2], None]


def test_nothing_is_given_out_before_the_last_answer(model):
    """A slot whose request is still being executed is not ready, also where an execution answers late."""
    model = model(IDLE)
    model.send("a", 1, start=True)
    model.send("a", 2)
    (late,) = model.take()
    assert model.take() is None
    model.execute(late)
    assert model.values() == [2]


def test_slots_are_taken_from_the_lowest_of_all_instances(model):
    """New sequences are spread over the instances."""
    model = model(IDLE, instances=("A", "B"))
    for number in range(4):
        model.send(number + 1, number, start=True)
    assert model.values("A") == [0, 2]
    assert model.values("B") == [1, 3]


def test_end_frees_the_slot_at_once(model):
    """The head of the backlog has the slot in the very next batch, with all that it has queued."""
    model = model(IDLE, max_batch_size=1)
    model.send("a", 1, start=True, end=True)
    model.send("b", 2, start=True)
    model.send("b", 3, end=True)
    model.send("c", 4, start=True)
    (first,) = model.take()
    (second,) = model.take()
    assert second.inputs["X"] == 2
    model.execute(second)
    model.execute(first)
    assert [model.values() for _ in range(3)] == [[3], [4], None]


def test_id_is_free_when_the_end_arrives(model):
    """A start after the end makes a sequence of its own, though the old one is not done."""
    model = model(IDLE)
    model.send("a", 1, start=True, end=True)
    model.send("a", 2, start=True)
    assert model.values() == [1, 2]


def test_start_of_a_live_sequence(model, caplog):
    """A sequence that starts again stays in its slot, and what was queued before is executed before."""
    model = model(IDLE)
    model.send("a", 1, start=True)
    model.send("a", 2)
    model.send("a", 3, start=True)
    model.send("b", 9, start=True)
    assert [model.values() for _ in range(3)] == [[1, 9], [2], [3]]
    assert "starts again before its end" in caplog.text


def test_different_shapes_take_turns(model):
    """A slot whose request has another shape than the first one's has an empty place, and its turn in the next batch."""
    model = model(IDLE, dims=[-1])
    model.send("a", 1, start=True, dims=(2,))
    model.send("b", 2, start=True, dims=(3,))
    model.send("c", 3, start=True, dims=(2,))
    first = model.take()
    assert [request.inputs["X"].shape for request in first] == [(1, 2)] * 3
    assert [isinstance(request, NullRequest) for request in first] == [False, True, False]
    for request in first:
        model.execute(request)
    assert model.values() == [None, 2]


def test_no_empty_places_without_batches(model):
    """A model without a batch dimension has one slot for each instance."""
    model = model(IDLE, max_batch_size=0)
    model.send("a", 1, start=True)
    model.send("b", 2, start=True)
    assert model.values() == [1]
    assert model.values() is None
    model.send("a", 3, end=True)
    assert [model.values(), model.values()] == [[3], [2]]


@pytest.mark.parametrize("section", ["", "direct { max_queue_delay_microseconds: 700000 }"])
def test_delay_alone_holds_nothing_back(model, section):
    """Without a utilization to reach, a request is executed at once, whatever the delay."""
    model = model(IDLE + section)
    model.send("a", 1, start=True)
    assert model.values() == [1]


def test_utilization(model):
    """A batch waits for enough slots, but no longer than the delay."""
    model = model(IDLE + "direct { max_queue_delay_microseconds: 700000 minimum_slot_utilization: 0.75 }")
    model.send("a", 1, start=True)
    model.send("b", 2, start=True)
    model.clock.advance(0.6)
    assert model.values() is None
    model.clock.advance(0.1)
    assert model.values() == [1, 2]
    for name in "abc":
        assert model.values() is None
        model.send(name, 3, start=name == "c")
    assert model.values() == [3, 3, 3]


def test_empty_places_are_in_no_statistic(model):
    """An execution counts the requests that somebody has asked."""
    model = model(IDLE)
    for name in "ab":
        model.send(name, 1, start=True)
    model.values()
    model.send("b", 5)
    statistics = ModelStatistics()
    batch = Batch(model.take(), statistics)
    assert len(batch.requests) == 2
    batch.respond_all([InferenceResponse({"Y": np.zeros((1, 1), np.int32)})] * 2)
    told = statistics.snapshot()
    assert list(told.batches) == [1]
    assert told.compute_infer.count == 1


def test_empty_place_has_zeros(model):
    """The inputs of an empty place are zeros in the shape of the first request's, and it has neither flags nor an id."""
    model = model(IDLE)
    for name in "ab":
        model.send(name, 1, start=True)
    model.values()
    model.send("b", 5, id="mine")
    empty, real = model.take()
    assert empty.inputs["X"].tolist() == [[0]]
    assert (empty.id, empty.flags, empty.correlation_id) == ("", 0, 0)
    assert (real.id, real.flags, real.correlation_id) == ("mine", 0, "b")


def test_failed_request_ends_nothing(model):
    """A sequence goes on after an error."""
    model = model(IDLE)
    failed = model.send("a", 1, start=True)
    (request,) = model.take()
    request.fail(ValueError("no"))
    assert "no" in failed.error
    model.send("a", 2)
    assert model.values() == [2]

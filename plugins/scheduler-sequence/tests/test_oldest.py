"""Oldest: batches of the sequences that have waited longest."""

from __future__ import annotations

import pytest
from charonia.request import InferenceResponse


def oldest(text="", candidates=8):
    """Write the section."""
    return f"oldest {{ max_candidate_sequences: {candidates} {text} }}"


def test_sequences_take_turns(model):
    """A sequence has one request in a batch, and joins the next batch behind those that waited when that one is answered."""
    model = model(oldest())
    model.send("a", 1, start=True)
    first = model.take()
    for name, value in (("a", 2), ("b", 3), ("c", 4), ("b", 5), ("c", 6)):
        model.send(name, value, start=value in {3, 4})
    model.execute(*first)
    assert [model.values() for _ in range(3)] == [[3, 4, 2], [5, 6], None]


def test_batch_is_not_larger_than_the_model_takes(model):
    """What does not fit waits for the next batch."""
    model = model(oldest())
    for number in range(6):
        model.send(number + 1, number, start=True)
    assert [model.values(), model.values()] == [[0, 1, 2, 3], [4, 5]]


def test_candidates(model):
    """Sequences beyond the candidates of all instances wait for one of them to end."""
    model = model(oldest(candidates=1), instances=("A", "B"))
    for number in range(3):
        model.send(number + 1, number, start=True)
    assert [model.values("A"), model.values("B"), model.values("A"), model.values("B")] == [[0], [1], None, None]
    model.send(2, 9, end=True)
    assert [model.values("B"), model.values("B"), model.values("A")] == [[9], [2], None]


def test_preferred_size_and_delay(model):
    """A batch of a preferred size goes at once; fewer wait for as long as the delay."""
    model = model(oldest("preferred_batch_size: 2 max_queue_delay_microseconds: 1000"))
    model.send("a", 1, start=True)
    assert model.values() is None
    model.send("b", 2, start=True)
    model.send("c", 3, start=True)
    assert [model.values(), model.values()] == [[1, 2], None]
    model.clock.advance(0.001)
    assert model.values() == [3]


def test_shapes_are_not_mixed(model):
    """A request of another shape ends the batch."""
    model = model(oldest(), dims=[-1])
    for number, size in enumerate((1, 1, 2, 1)):
        model.send(number + 1, number, start=True, dims=(size,))
    assert [model.values() for _ in range(3)] == [[0, 1], [2], [3]]


def test_sequences_find_together(model):
    """Sequences that were executed apart are executed together as soon as the next requests of both wait."""
    model = model(oldest())
    model.send("a", 1, start=True)
    first = model.take()
    for name, value in (("b", 2), ("a", 3), ("b", 4), ("a", 5), ("b", 6)):
        model.send(name, value, start=value == 2)
    model.execute(*first)
    assert [model.values() for _ in range(4)] == [[2, 3], [4, 5], [6], None]


def test_those_who_waited_come_first(model):
    """A sequence that has just been executed takes no place in the batch from one that waited."""
    model = model(oldest())
    model.send("a", 0, start=True)
    first = model.take()
    model.send("a", 9)
    for number in range(1, 6):
        model.send(number, number, start=True)
    model.execute(*first)
    assert [model.values() for _ in range(2)] == [[1, 2, 3, 4], [5, 9]]


@pytest.mark.parametrize("keeps", [False, True])
def test_preserve_ordering(model, keeps):
    """Responses leave in the order of execution, where that is wanted, though they are made in another one."""
    model = model(oldest(f"preserve_ordering: {str(keeps).lower()}"))
    first, second = model.send("a", 1, start=True), model.send("b", 2, start=True)
    one, two = model.take()
    model.execute(two)
    assert bool(second.responses) is not keeps
    one.respond(InferenceResponse({"Y": one.inputs["X"]}, final=False))
    assert len(first.responses) == 1
    model.execute(one)
    assert len(first.responses) == 2
    assert second.responses

"""The control inputs: what a model is told about its sequence, in each datatype."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.errors import InvalidArgumentError

PAIRS = {"int32_false_true: [ 0, 1 ]": np.int32, "fp32_false_true: [ 0, 1 ]": np.float32}
PAIRS["bool_false_true: [ false, true ]"] = np.bool_
IDS = {"UINT64": np.uint64, "INT64": np.int64, "UINT32": np.uint32, "INT32": np.int32}


def controls(pair="int32_false_true: [ 0, 1 ]"):
    """Write the three controls that are true or false."""
    return " ".join(
        f'control_input {{ name: "{kind}" control {{ kind: CONTROL_SEQUENCE_{kind} {pair} }} }}'
        for kind in ("START", "END", "READY")
    )


def correlation_id(datatype):
    """Write the control that is the id."""
    return f'control_input {{ name: "ID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{datatype} }} }}'


def told(request, *names):
    """Give one-element inputs as plain values."""
    return [request.inputs[name].item() for name in names or ("START", "END", "READY")]


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs(model, pair):
    """Start, end and readiness have the configured values, in the datatype that goes with them."""
    model = model(controls(pair))
    model.send("a", start=True)
    model.send("b", start=True, end=True)
    (first, second) = model.take()
    assert (told(first), told(second)) == ([1, 0, 1], [1, 1, 1])
    assert {first.inputs[name].dtype for name in ("START", "END", "READY")} == {np.dtype(PAIRS[pair])}
    assert first.inputs["START"].shape == (1, 1)
    assert list(first.inputs) == ["X", "START", "END", "READY"]


def test_any_two_values(model):
    """False and true are whatever the configuration says."""
    model = model(controls("fp32_false_true: [ -0.5, 7 ]"))
    model.send("a", start=True)
    (request,) = model.take()
    assert told(request) == [7, -0.5, 7]


def test_empty_place(model):
    """A place without a request is not ready."""
    model = model(controls() + correlation_id("UINT64"))
    for name in (1, 2):
        model.send(name, start=True)
    model.values()
    model.send(2)
    empty, real = model.take()
    assert told(empty, "START", "END", "READY", "ID") == [0, 0, 0, 0]
    assert told(real, "START", "END", "READY", "ID") == [0, 0, 1, 2]


@pytest.mark.parametrize("datatype", IDS)
@pytest.mark.parametrize("name", [7, 2**33 + 9, 2**64 - 1])
def test_ids_that_are_numbers(model, datatype, name):
    """The id comes in its datatype; 32 bits have its low half."""
    model = model(correlation_id(datatype))
    model.send(name, start=True)
    (request,) = model.take()
    given = request.inputs["ID"]
    assert given.dtype == IDS[datatype]
    assert given.shape == (1, 1)
    bits = 8 * given.dtype.itemsize
    assert int(given.item()) % 2**bits == name % 2**bits


def test_ids_that_are_text(model):
    """A model may take text as ids."""
    model = model(correlation_id("STRING"), max_batch_size=0)
    model.send("käfer", start=True)
    (request,) = model.take()
    assert request.inputs["ID"].tolist() == ["käfer".encode()]


@pytest.mark.parametrize(
    ("datatype", "name", "found", "expected"), [("UINT64", "a", "BYTES", "UINT64"), ("STRING", 5, "UINT64", "BYTES")]
)
def test_ids_of_the_wrong_kind(model, datatype, name, found, expected):
    """An id that is not of the model's kind is refused."""
    model = model(correlation_id(datatype))
    with pytest.raises(InvalidArgumentError) as refused:
        model.send(name, start=True, id="r")
    assert str(refused.value) == (
        f"[request id: r] sequence batching control 'ID' data-type is '{found}', but model 'model' expects '{expected}'"
    )


def test_without_batches(model):
    """A model without a batch dimension has controls of one dimension."""
    model = model(controls() + correlation_id("INT64"), max_batch_size=0)
    model.send(3, start=True)
    (request,) = model.take()
    assert {request.inputs[name].shape for name in ("START", "END", "READY", "ID")} == {(1,)}

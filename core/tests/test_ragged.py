"""Ragged batches: what is laid end to end, what describes it, and how it is cut back."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.arrays import TensorLayout
from charonia.errors import InternalError
from charonia.ragged import RaggedBatches
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config
from hypothesis import given
from hypothesis import strategies as st

INT32, FP32 = 8, 11

KINDS = {
    "BATCH_ELEMENT_COUNT": [3, 2, 4],
    "BATCH_ACCUMULATED_ELEMENT_COUNT": [3, 5, 9],
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": [0, 3, 5, 9],
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": [0, 0, 0, 0],
    "BATCH_ITEM_SHAPE": [[3], [2], [4]],
    "BATCH_ITEM_SHAPE_FLATTEN": [3, 2, 4],
}


def config_of(*, dims=(-1,), max_batch_size=8, kind=None, data_type=INT32, cut=True):
    config = model_config(
        inputs=[("X", "FP32", list(dims)), ("FIXED", "FP32", [2])],
        outputs=[("Y", "FP32", list(dims)), ("SUM", "FP32", [1])],
        max_batch_size=max_batch_size,
    )
    config.input[0].allow_ragged_batch = True
    if kind is not None:
        config.batch_input.add(kind=kind, target_name=["MADE"], data_type=data_type, source_input=["X"])
    if cut:
        config.batch_output.add(target_name=["Y"], source_input=["X"])
    return config


def layout_of(config):
    return TensorLayout(config, RaggedBatches.of(config))


def request_of(array, **options):
    batch = len(array)
    request = InferenceRequest("m", {"X": array, "FIXED": np.zeros((batch, 2), np.float32)}, lambda _: None, **options)
    request.batch_size = batch
    return request


def requests_of(*shapes):
    return [request_of(np.zeros(shape, np.float32)) for shape in shapes]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data_type", [INT32, FP32])
def test_kinds_of_batch_input(kind, data_type):
    """Three requests of 3, 2 and 4 elements are described as the reference describes them, in the datatype that is asked for."""
    gathered = layout_of(config_of(kind=kind, data_type=data_type)).gather(requests_of((1, 3), (1, 2), (1, 4)))
    assert gathered["MADE"].tolist() == KINDS[kind]
    assert gathered["MADE"].dtype == (np.int32 if data_type == INT32 else np.float32)
    assert gathered["X"].shape == (9,)
    assert gathered["FIXED"].shape == (3, 2)


def test_requests_with_batches_of_their_own():
    """The shape of an item is told once for each element of a request's batch, its count once for the request."""
    requests = requests_of((2, 3, 5), (1, 2, 5))
    shapes = layout_of(config_of(dims=(-1, 5), kind="BATCH_ITEM_SHAPE")).gather(requests)
    assert shapes["MADE"].tolist() == [[3, 5], [3, 5], [2, 5]]
    counts = layout_of(config_of(dims=(-1, 5), kind="BATCH_ELEMENT_COUNT")).gather(requests)
    assert counts["MADE"].tolist() == [30, 10]


def test_lone_request_is_laid_flat_too():
    """The model sees the same form whether or not others share the batch."""
    gathered = layout_of(config_of(kind="BATCH_ELEMENT_COUNT")).gather(requests_of((1, 3)))
    assert gathered["X"].shape == (3,)
    assert gathered["MADE"].tolist() == [3]


def test_absent_optional_input_is_not_described():
    """Nothing is told of an input that no request of the batch gives."""
    config = config_of(kind="BATCH_ELEMENT_COUNT")
    request = InferenceRequest("m", {"FIXED": np.zeros((1, 2), np.float32)}, lambda _: None)
    assert set(layout_of(config).gather([request])) == {"FIXED"}


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=6))
def test_cutting_undoes_joining(sizes):
    """Each request gets its own elements back, in its own shape, beside its rows of the outputs that have a batch dimension."""
    numbers = iter(range(10_000))
    arrays = [
        np.array([[next(numbers) for _ in range(width)] for _ in range(batch)], np.float32).reshape(batch, width)
        for batch, width in sizes
    ]
    requests = [request_of(array) for array in arrays]
    layout = layout_of(config_of())
    rows = np.arange(sum(batch for batch, _ in sizes), dtype=np.float32).reshape(-1, 1)
    responses = layout.split(requests, {"SUM": rows, "Y": layout.gather(requests)["X"]})
    assert all(np.array_equal(response["Y"], array) for response, array in zip(responses, arrays, strict=True))
    assert np.array_equal(np.concatenate([response["SUM"] for response in responses]), rows)
    assert list(responses[0].outputs) == ["SUM", "Y"]


def test_outputs_that_nobody_asked_for_are_dropped():
    """A request gets the outputs that it asked for, ragged or not."""
    layout = layout_of(config_of())
    requests = [
        request_of(np.ones((1, 2), np.float32), requested_outputs=("SUM",)),
        request_of(np.ones((1, 3), np.float32), requested_outputs=("Y",)),
    ]
    responses = layout.split(requests, {"Y": np.arange(5, dtype=np.float32), "SUM": np.zeros((2, 1), np.float32)})
    assert [list(response.outputs) for response in responses] == [["SUM"], ["Y"]]
    assert responses[1]["Y"].tolist() == [[2, 3, 4]]


def test_model_without_a_batch_dimension():
    """Where the model does not batch, the whole shape is the item's."""
    config = config_of(max_batch_size=0, kind="BATCH_ITEM_SHAPE")
    request = InferenceRequest("m", {"X": np.arange(3, dtype=np.float32)}, lambda _: None)
    layout = layout_of(config)
    assert layout.gather([request])["MADE"].tolist() == [[3]]
    (response,) = layout.split([request], {"Y": np.arange(3, dtype=np.float32)})
    assert response["Y"].shape == (3,)


def test_output_that_cannot_be_cut():
    """An output with more or fewer elements than the shapes make is the model's mistake, and the text says what was expected."""
    layout = layout_of(config_of())
    with pytest.raises(
        InternalError, match=r"output 'Y' of model 'model' has 4 elements, but the shapes of input 'X'.* make 5"
    ):
        layout.split(requests_of((1, 2), (1, 3)), {"Y": np.zeros(4, np.float32)})


def test_models_that_have_nothing_of_the_kind():
    """Nothing is done for ordinary models."""
    assert RaggedBatches.of(model_config()) is None

"""Gathering requests into arrays and splitting arrays into responses are inverse to each other."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.arrays import TensorLayout
from charonia.errors import InternalError
from charonia.request import InferenceRequest
from charonia_protos.model_config_pb2 import ModelConfig
from hypothesis import given
from hypothesis import strategies as st


def layout(*, max_batch_size=64, dims=(2,), reshape=None):
    config = ModelConfig(name="m", max_batch_size=max_batch_size)
    for tensor in (config.input.add(name="X", data_type=11), config.output.add(name="X", data_type=11)):
        tensor.dims.extend(dims)
        if reshape is not None:
            tensor.reshape.shape.extend(reshape)
            tensor.reshape.SetInParent()
    return TensorLayout(config)


def request_of(array, batch_size=1):
    request = InferenceRequest("m", {"X": array}, lambda _: None)
    request.batch_size = batch_size
    return request


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8))
def test_splitting_undoes_gathering(sizes):
    """Each request gets back exactly its own rows, in the order of the batch."""
    numbers = iter(range(1000))
    arrays = [np.array([[next(numbers), next(numbers)] for _ in range(size)], np.float32) for size in sizes]
    requests = [request_of(array, len(array)) for array in arrays]
    shared = layout()
    responses = shared.split(requests, shared.gather(requests))
    assert all(np.array_equal(response["X"], array) for response, array in zip(responses, arrays, strict=True))


def test_lone_request_is_passed_on_uncopied():
    """The array of a single request reaches the backend as it is."""
    array = np.zeros((1, 2), np.float32)
    assert layout().gather([request_of(array)])["X"] is array


def test_bytes_are_concatenated_too():
    """Object arrays of bytes are gathered like any other."""
    requests = [request_of(np.array([[b"a", b"b"]], object)), request_of(np.array([[b"c", b"d"]], object))]
    assert layout().gather(requests)["X"].tolist() == [[b"a", b"b"], [b"c", b"d"]]


@pytest.mark.parametrize(
    ("max_batch_size", "dims", "reshape", "client", "backend"),
    [
        (8, (1,), (), (3, 1), (3,)),
        (8, (4,), (2, 2), (1, 4), (1, 2, 2)),
        (0, (2, 2), (4,), (2, 2), (4,)),
        (0, (-1, 4, -1), (-1, 2, 2, -1), (3, 4, 5), (3, 2, 2, 5)),
        (8, (-1, 1, -1), (-1, -1), (2, 3, 1, 5), (2, 3, 5)),
    ],
)
def test_backend_sees_the_reshape_and_the_client_the_dims(max_batch_size, dims, reshape, client, backend):
    """A reshape applies to what the backend sees, and is undone for the response; variable sizes keep their places."""
    shared = layout(max_batch_size=max_batch_size, dims=dims, reshape=reshape)
    array = np.arange(np.prod(client), dtype=np.float32).reshape(client)
    request = request_of(array, client[0] if max_batch_size else 1)
    gathered = shared.gather([request])
    assert gathered["X"].shape == backend
    (response,) = shared.split([request], gathered)
    assert np.array_equal(response["X"], array)


def test_output_that_does_not_follow_the_batch_is_an_error():
    """An output that cannot be divided among the requests is the model's mistake, and told as such."""
    requests = [request_of(np.zeros((1, 2), np.float32)) for _ in range(2)]
    with pytest.raises(InternalError, match=r"output 'X' of model 'm' has shape \[3, 2\].*batch's size 2"):
        layout().split(requests, {"X": np.zeros((3, 2), np.float32)})


def test_output_that_does_not_fit_its_reshape_is_an_error():
    """An output with another rank than its reshape is the model's mistake."""
    request = request_of(np.zeros((1, 4), np.float32))
    with pytest.raises(InternalError, match="does not fit its reshape"):
        layout(dims=(4,), reshape=(2, 2)).split([request], {"X": np.zeros((1, 4), np.float32)})

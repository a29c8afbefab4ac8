"""Outputs in the shared memory of clients: what is written, when, and when the memory is let go."""

from __future__ import annotations

from contextlib import contextmanager

import ml_dtypes
import numpy as np
import pytest
from charonia.errors import (
    CancelledError,
    InternalError,
    NotFoundError,
)
from charonia.request import InferenceRequest, InferenceResponse
from charonia.tensor import decode_bytes


@contextmanager
def refused(kind, text):
    with pytest.raises(kind) as caught:
        yield
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "tensor",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(6, dtype=np.int64).reshape(2, 3).T,
        np.arange(12, dtype=np.uint8)[::3],
        np.array([True, False]),
        np.array([1.5, -2], dtype=ml_dtypes.bfloat16),
        np.array(7.0),
        np.zeros((0, 3), np.int8),
    ],
    ids=["plain", "transposed", "strided", "BOOL", "BF16", "scalar", "empty"],
)
def test_tensor_is_written_in_row_major_order(objects, regions, tensor):
    """A tensor of any layout lies in the region as its binary form does on the wire, and nothing beside it changes."""
    regions.register_system("r", objects.make("a", b"\xaa" * 64), 0, 64)
    regions.slice("r", 4, 56).write_tensor("O", tensor)
    data = tensor.tobytes()
    assert objects.path("a").read_bytes() == b"\xaa" * 4 + data + b"\xaa" * (60 - len(data))


def test_numbers_in_another_byte_order_are_turned(objects, regions):
    """What is written is little-endian, whatever the model gave."""
    regions.register_system("r", objects.make("a", bytes(8)), 0, 8)
    regions.slice("r", 0, 8).write_tensor("O", np.array([1, 2], ">i4"))
    assert objects.path("a").read_bytes() == np.array([1, 2], "<i4").tobytes()


def test_strings_are_written_with_their_lengths(objects, regions):
    """A BYTES tensor is written in the form that the protocol gives it."""
    regions.register_system("r", objects.make("a", bytes(32)), 0, 32)
    regions.slice("r", 0, 32).write_tensor("O", np.array([b"one", b""], np.object_))
    assert decode_bytes(objects.path("a").read_bytes()[:11]).tolist() == [b"one", b""]


def test_tensor_that_is_too_large(objects, regions):
    """A tensor larger than its part is refused in the reference's words, and not a byte is written."""
    regions.register_system("r", objects.make("a", bytes(64)), 0, 64)
    with refused(
        InternalError,
        "shared memory size specified with the request for output 'O' (8 bytes) should be at least 16 bytes to hold the results",
    ):
        regions.slice("r", 0, 8).write_tensor("O", np.ones(4, np.float32))
    assert objects.path("a").read_bytes() == bytes(64)


def test_tensor_of_no_datatype(objects, regions):
    """A dtype that the protocol does not know is the model's fault, and told."""
    regions.register_system("r", objects.make("a", bytes(64)), 0, 64)
    with pytest.raises(InternalError, match="output 'O' has dtype complex64, which the protocol does not know"):
        regions.slice("r", 0, 64).write_tensor("O", np.ones(1, np.complex64))


def request_into(place):
    answers = []
    return InferenceRequest("m", {}, answers.append, output_regions={"O": place}), answers


def test_outputs_are_in_place_before_anyone_learns_of_them(objects, regions):
    """When a response reaches the sink, its outputs are in their regions; those without a region are left alone."""
    regions.register_system("r", objects.make("a", bytes(4)), 0, 4)
    seen = []
    request = InferenceRequest(
        "m",
        {},
        lambda response: seen.append((objects.path("a").read_bytes(), list(response.outputs))),
        output_regions={"O": regions.slice("r", 0, 4), "never made": regions.slice("r", 0, 4)},
    )
    outputs = {"O": np.array([1], np.int32), "P": np.array([2], np.int32)}
    request.respond(InferenceResponse(outputs, final=False))
    request.respond(InferenceResponse({**outputs, "O": np.array([3], np.int32)}))
    assert seen == [(bytes([1, 0, 0, 0]), ["O", "P"]), (bytes([3, 0, 0, 0]), ["O", "P"])]


@pytest.mark.parametrize("final", [True, False])
def test_output_that_cannot_be_written_is_the_answer(objects, regions, final):
    """An output that does not fit makes an error of its response, and of no other."""
    regions.register_system("r", objects.make("a", bytes(4)), 0, 4)
    request, answers = request_into(regions.slice("r", 0, 4))
    request.respond(InferenceResponse({"O": np.zeros(2, np.int32)}, final=final))
    assert [(type(answer.error), answer.final) for answer in answers] == [(InternalError, final)]
    assert request.failed is final
    request.respond(InferenceResponse({"O": np.zeros(1, np.int32)}))
    assert answers[-1].error is None or final


def test_output_that_is_no_tensor_is_answered(objects, regions):
    """Whatever a model gives as an output, the request gets an answer."""
    regions.register_system("r", objects.make("a", bytes(4)), 0, 4)
    request, answers = request_into(regions.slice("r", 0, 4))
    request.respond(InferenceResponse({"O": "no tensor"}))
    assert isinstance(answers[0].error, InternalError)
    assert request.failed


def test_cancelled_request_writes_nothing(objects, regions):
    """A request that was taken back leaves the region as it is."""
    regions.register_system("r", objects.make("a", bytes(4)), 0, 4)
    request, answers = request_into(regions.slice("r", 0, 4))
    request.cancel()
    request.respond(InferenceResponse({"O": np.ones(1, np.int32)}))
    assert isinstance(answers[0].error, CancelledError)
    assert objects.path("a").read_bytes() == bytes(4)


# -- letting go


def test_memory_in_use_outlives_its_region(objects, regions):
    """A region that is unregistered while something uses it is unmapped when the last user is gone, and not before."""
    regions.register_system("r", objects.make("a", bytes(range(8))), 0, 8)
    array = np.frombuffer(regions.slice("r", 0, 8).view(), np.uint8)
    place = regions.slice("r", 0, 8)
    regions.unregister_system("r")
    with pytest.raises(NotFoundError):
        regions.slice("r", 0, 8)
    objects.path("a").unlink()
    assert array.tolist() == list(range(8))
    place.write_tensor("O", np.arange(8, dtype=np.uint8)[::-1])
    assert array.tolist() == list(range(8))[::-1]
    del place
    assert objects.mapped == 1
    del array
    assert objects.mapped == objects.opened == 0

"""What is written by hand is what protobuf reads."""

from __future__ import annotations

from charonia_protos import grpc_service_pb2 as pb
from charonia_protos.wire import length_delimited, packed, varint
from hypothesis import given
from hypothesis import strategies as st

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64).map(tuple))
def test_packed_integers_are_read_back(values):
    """A repeated integer field keeps every value, negative ones included."""
    assert tuple(pb.ModelInferRequest.InferInputTensor.FromString(packed(3, values)).shape) == values


@given(st.lists(st.binary(max_size=300)))
def test_fields_with_a_length_are_read_back(items):
    """Parts that follow each other are one message."""
    written = b"".join(length_delimited(7, len(item)) + item for item in items)
    assert list(pb.ModelInferRequest.FromString(written).raw_input_contents) == items


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_as_short_as_they_can_be(value):
    """Seven bits go into a byte."""
    assert len(varint(value)) == max(1, -(-value.bit_length() // 7))

"""Large messages are read as protobuf reads them, without copying what is large in them."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.binary_tensor import tensor_from_bytes
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia_frontend_grpc import infer_message
from charonia_frontend_grpc.infer_message import parse_infer
from charonia_protos import grpc_service_pb2 as pb
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def all_are_large(monkeypatch):
    """Have every message read as a large one."""
    monkeypatch.setattr(infer_message, "LARGE", 0)


def check(body):
    """Compare what is read with what protobuf reads."""
    try:
        expected = pb.ModelInferRequest.FromString(body)
    except DecodeError:
        with pytest.raises(InvalidArgumentError, match="Unable to parse request"):
            parse_infer(body)
        return
    message, raw = parse_infer(body)
    assert [bytes(entry) for entry in raw] == list(expected.raw_input_contents)
    del message.raw_input_contents[:]
    del expected.raw_input_contents[:]
    assert message == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=3), st.lists(st.binary(max_size=200)), st.lists(st.integers(-1, 300)), st.booleans())
def test_messages_are_read_as_protobuf_reads_them(all_are_large, text, raw, shape, negative):
    """Whatever a message holds, and in whatever order its parts come, nothing is lost."""
    first = pb.ModelInferRequest(model_name=text, id=text, raw_input_contents=raw[:1])
    second = pb.ModelInferRequest(raw_input_contents=raw[1:], parameters={text: {"int64_param": -1 if negative else 1}})
    second.inputs.add(name=text, shape=shape)
    check(first.SerializeToString() + second.SerializeToString())


PARTS = st.sampled_from(
    [
        b"\x3a",
        b"\x3a\x01a",
        b"\xba\x00\x01b",
        b"\x38\x05",
        b"\x39",
        b"\x3d1234",
        b"\x3b",
        b"\x3c",
        b"\x0a\x01m",
        b"\xff" * 9,
        b"\0",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500)
@given(st.binary(max_size=30) | st.lists(PARTS, max_size=5).map(b"".join))
def test_any_bytes_are_judged_as_protobuf_judges_them(all_are_large, body):
    """What is no message for protobuf is none here, and what is one has the same contents."""
    check(body)


def test_large_data_is_not_copied():
    """A tensor of a large request is a view of what came from the network, where its words lie well."""
    data = np.arange(infer_message.LARGE, dtype=np.uint8)
    body = pb.ModelInferRequest(model_name="m", raw_input_contents=[data.tobytes()]).SerializeToString()
    message, (raw,) = parse_infer(body)
    assert message.model_name == "m"
    tensor = tensor_from_bytes("X", DataType.UINT8, data.shape, raw, ("", "m"))
    assert np.shares_memory(tensor, np.frombuffer(body, np.uint8))
    assert tensor.tolist() == data.tolist()

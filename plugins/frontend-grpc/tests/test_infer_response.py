"""From responses to messages: every datatype, parameters, sizes, and outputs that nobody declared."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.datatypes import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.per_model import PerModel
from charonia.request import InferenceRequest, InferenceResponse
from charonia_frontend_grpc import infer_response
from charonia_frontend_grpc.infer_request import Decoded
from charonia_frontend_grpc.infer_response import ResponseEncoder
from charonia_protos import grpc_service_pb2 as pb


@pytest.fixture
def encode(running):
    """Write a response of the model `m` or another, and read it back."""

    def write(outputs, *, model="m", request_id="", requested=(), parameters=None, classes=()):
        request = InferenceRequest(model, {}, lambda response: None, id=request_id, requested_outputs=requested)
        response = InferenceResponse(outputs, parameters=parameters)
        decoded = Decoded(request, classes=dict(classes))
        return pb.ModelInferResponse.FromString(ResponseEncoder(running.get(model)).encode(decoded, response))

    return write


def test_a_response_is_whole(encode):
    """Model, version, id and outputs are there, and data is raw."""
    told = encode({"Y": np.float32([[1, 2]])}, request_id="q é")
    expected = pb.ModelInferResponse(model_name="m", model_version="1", id="q é")
    expected.outputs.add(name="Y", datatype="FP32", shape=[1, 2])
    expected.raw_output_contents.append(np.float32([1, 2]).tobytes())
    assert told == expected


@pytest.mark.parametrize("datatype", [datatype for datatype in DataType if datatype is not DataType.BYTES])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (70_000,)])
def test_every_datatype_is_told_as_it_is(encode, datatype, shape):
    """A model that makes another datatype than it declares is told with the one that it made, small or large."""
    array = np.ones(shape, datatype.dtype)
    told = encode({"Y": array})
    (output,), (raw,) = told.outputs, told.raw_output_contents
    assert (output.datatype, tuple(output.shape)) == (datatype.name, shape)
    assert raw == array.tobytes()


@pytest.mark.parametrize("array", [np.arange(6, dtype=np.float32).reshape(2, 3).T, np.arange(3, dtype=">f4")])
def test_memory_in_another_order_is_put_in_order(encode, array):
    """Data is row-major and little-endian, whatever the array is."""
    assert encode({"Y": array}).raw_output_contents[0] == np.ascontiguousarray(array, np.float32).tobytes()


def test_a_large_array_with_gaps_is_put_in_order(encode):
    """A view that skips elements is written without the gaps."""
    array = np.arange(100_000, dtype=np.float32)[::2]
    assert encode({"Y": array}).raw_output_contents[0] == array.tobytes()


def test_strings_have_their_lengths(encode):
    """BYTES are written element by element."""
    told = encode({"Y": np.array([b"ab", b""], dtype=object)}, model="text")
    assert told.outputs[0].datatype == "BYTES"
    assert told.raw_output_contents[0] == b"\2\0\0\0ab\0\0\0\0"


def test_an_output_is_classified_where_it_is_asked_for(encode):
    """The greatest elements of each row stand for the output, as text."""
    told = encode({"Y": np.float32([[0.5, 2, 1]])}, classes={"Y": 2})
    (output,), (raw,) = told.outputs, told.raw_output_contents
    assert (output.datatype, list(output.shape)) == ("BYTES", [1, 2])
    assert raw == b"".join(len(text).to_bytes(4, "little") + text for text in (b"2.000000:1", b"1.000000:2"))


def test_text_cannot_be_classified(encode):
    """The text is that of the reference's later releases."""
    with pytest.raises(InvalidArgumentError, match="class result not available for output due to unsupported type"):
        encode({"Y": np.array([b"a"], dtype=object)}, model="text", classes={"Y": 1})


def test_only_what_is_declared_and_wanted_is_told(encode):
    """Outputs that the configuration or the request does not name are left out."""
    assert [output.name for output in encode({"Z": np.float32([1]), "Y": np.float32([1])}).outputs] == ["Y"]
    assert not encode({"Y": np.float32([1])}, requested=("other",)).outputs


def test_parameters_keep_their_types(encode):
    """Truth, text, whole numbers of 64 bits and other numbers have fields of their own."""
    parameters = {"b": True, "s": "t", "i": -3, "u": 2**63, "d": 0.5, "big": 2**70}
    told = encode({}, parameters=parameters).parameters
    kinds = {
        name: (value.WhichOneof("parameter_choice"), getattr(value, value.WhichOneof("parameter_choice")))
        for name, value in told.items()
    }
    assert kinds == {
        "b": ("bool_param", True),
        "s": ("string_param", "t"),
        "i": ("int64_param", -3),
        "u": ("uint64_param", 2**63),
        "d": ("double_param", 0.5),
        "big": ("double_param", 2.0**70),
    }


def test_a_dtype_without_a_name_is_the_models_fault(encode):
    """The protocol has no complex numbers."""
    with pytest.raises(InternalError, match="output 'Y' has dtype complex64, which the protocol does not know"):
        encode({"Y": np.zeros(1, np.complex64)})


def test_a_message_beyond_all_bounds_is_refused(encode, monkeypatch):
    """What no message can hold is told, before it is put together."""
    monkeypatch.setattr(infer_response, "MAX_MESSAGE_SIZE", 7)
    with pytest.raises(InvalidArgumentError) as caught:
        encode({"Y": np.float32([1, 2])})
    assert str(caught.value) == "Response has byte size 8 which exceeds gRPC's byte size limit 7."


def test_an_encoder_is_made_once_for_each_model(running):
    """What depends on the model alone is paid once."""
    encoders = PerModel(ResponseEncoder)
    assert encoders[running.get("m")] is encoders[running.get("m")]
    assert encoders[running.get("m")] is not encoders[running.get("slow")]

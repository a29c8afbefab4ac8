"""From messages to requests: which error comes first, where data may stand, parameters, and versions."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.config import ModelConfig
from charonia.datatypes import DataType
from charonia.errors import InferenceError, InvalidArgumentError, NotFoundError, UnsupportedError
from charonia.shared_memory import SharedMemory
from charonia.tensor import MalformedTensor
from charonia_frontend_grpc.explicit_contents import tensor_from_contents
from charonia_frontend_grpc.infer_request import decode_infer
from charonia_frontend_grpc.model_version import read_version
from charonia_frontend_grpc.parameters import read_parameters
from charonia_protos import grpc_service_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

WHO = ("", "m")


class NamedModel:
    """As much of a model as decoding looks at."""

    name = "m"
    config = ModelConfig(name="m")


def decode(**fields):
    """Decode a message made from its JSON-like fields."""
    message = pb.ModelInferRequest(**fields)
    return decode_infer(
        NamedModel(), None, message, message.raw_input_contents, SharedMemory(allowed=False), lambda response: None
    )


def tensor(name="X", datatype="FP32", shape=(1,), **fields):
    """Make the message of an input."""
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, **fields)


def refusal(**fields):
    """Give the text with which a message is refused."""
    with pytest.raises(InferenceError) as caught:
        decode(**fields)
    return str(caught.value)


def test_raw_data_goes_to_the_inputs_in_their_order():
    """Each input takes the next entry, and what is left over is ignored."""
    raw = [np.float32([1]).tobytes(), np.int64([2, 3]).tobytes(), b"surplus"]
    decoded = decode(id="q", inputs=[tensor("A"), tensor("B", "INT64", (2,))], raw_input_contents=raw)
    request = decoded.request
    assert request.inputs["A"].tolist() == [1.0]
    assert request.inputs["B"].tolist() == [2, 3]
    assert (request.id, request.model_name, request.requested_outputs, decoded.wants_empty_final) == (
        "q",
        "m",
        (),
        False,
    )


def test_raw_data_is_not_copied():
    """A tensor is a view of the bytes that protobuf gives out."""
    raw = np.zeros(4, np.float32).tobytes()
    request = decode(inputs=[tensor("X", "FP32", (4,))], raw_input_contents=[raw]).request
    assert isinstance(request.inputs["X"].base.base, bytes)


def test_an_input_of_nothing_still_needs_its_data():
    """Zero elements are an empty entry, or empty contents, but not nothing."""
    empty = {"shape": (0,)}
    assert decode(inputs=[tensor(**empty)], raw_input_contents=[b""]).request.inputs["X"].shape == (0,)
    assert decode(inputs=[tensor(**empty, contents={})]).request.inputs["X"].shape == (0,)
    text = refusal(inputs=[tensor(**empty)])
    assert text == "unable to find data for input tensor 'X' for model 'm' in request."


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"inputs": [tensor(), tensor()], "parameters": {"timeout": {"bool_param": True}}},
            "invalid value type for 'timeout' parameter, expected int64_param.",
        ),
        ({"inputs": [tensor(), tensor()]}, "[request id: <id_unknown>] input 'X' already exists in request"),
        (
            {"id": "q", "inputs": [tensor()], "outputs": [{"name": "Y"}, {"name": "Y"}]},
            "[request id: q] output 'Y' already exists in request",
        ),
        (
            {"inputs": [tensor(contents={})], "raw_input_contents": [b""]},
            "contents field must not be specified when using raw_input_contents for 'X' for model 'm'",
        ),
    ],
)
def test_the_first_error_is_the_references(fields, text):
    """Parameters come before names, and names before data."""
    assert refusal(**fields) == text


def test_negative_sizes_are_for_the_model_to_refuse():
    """A shape with -1 is kept until the model has said what it expects."""
    for fields in ({"raw_input_contents": [b"1234"]}, {}):
        item = tensor("X", "FP32", (1, -1), **({} if fields else {"contents": {"fp32_contents": [1]}}))
        request = decode(inputs=[item], **fields).request
        assert isinstance(request.inputs["X"], MalformedTensor)
        assert request.inputs["X"].shape == (1, -1)


@pytest.mark.parametrize(
    ("datatype", "field", "values", "expected"),
    [
        ("BOOL", "bool_contents", [True, False], [True, False]),
        ("INT8", "int_contents", [-129, 127], [127, 127]),
        ("INT16", "int_contents", [2**15], [-(2**15)]),
        ("INT32", "int_contents", [-1], [-1]),
        ("INT64", "int64_contents", [-(2**63)], [-(2**63)]),
        ("UINT8", "uint_contents", [257], [1]),
        ("UINT16", "uint_contents", [65535], [65535]),
        ("UINT32", "uint_contents", [2**32 - 1], [2**32 - 1]),
        ("UINT64", "uint64_contents", [2**64 - 1], [2**64 - 1]),
        ("FP32", "fp32_contents", [0.5], [0.5]),
        ("FP64", "fp64_contents", [0.1], [0.1]),
        ("BYTES", "bytes_contents", [b"a", b""], [b"a", b""]),
    ],
)
def test_each_datatype_has_its_field(datatype, field, values, expected):
    """Elements of the right field make a tensor of the datatype; narrow integers keep their low bits."""
    contents = pb.InferTensorContents(**{field: values})
    array = tensor_from_contents("X", DataType[datatype], (len(values),), contents, WHO)
    assert array.dtype == DataType[datatype].dtype
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "fields", "text"),
    [
        ("FP32", {"int_contents": [1]}, " of type 'INT32', expected datatype 'FP32'"),
        ("FP16", {"fp32_contents": [1]}, " of type 'FP32', expected datatype 'FP16'"),
        ("BF16", {"bytes_contents": [b""]}, " of type 'BYTES', expected datatype 'BF16'"),
        (None, {"uint_contents": [1]}, " of type 'UINT32', expected datatype '<invalid>'"),
        ("FP32", {"fp32_contents": [1], "fp64_contents": [1]}, ", binary data was already supplied."),
    ],
)
def test_elements_in_the_wrong_field_are_refused(datatype, fields, text):
    """The texts are the reference's."""
    contents = pb.InferTensorContents(**fields)
    with pytest.raises(InvalidArgumentError) as caught:
        tensor_from_contents("X", datatype and DataType[datatype], (1,), contents, WHO)
    assert str(caught.value) == f"unexpected explicit tensor data for input tensor 'X' for model 'm'{text}"


@pytest.mark.parametrize(
    ("datatype", "fields", "text"),
    [
        ("FP32", {"fp32_contents": [1]}, "input byte size mismatch for input 'X' for model 'm'. Expected 8, got 4"),
        ("FP16", {}, "input byte size mismatch for input 'X' for model 'm'. Expected 4, got 0"),
        (
            "BYTES",
            {"bytes_contents": [b"a"]},
            "expected 2 string elements for inference input 'X' for model 'm', got 1",
        ),
        (
            "BYTES",
            {"bytes_contents": [b"a"] * 3},
            "unexpected number of string elements 3 for inference input 'X' for model 'm', expecting 2",
        ),
    ],
)
def test_the_wrong_number_of_elements_is_told_last(datatype, fields, text):
    """The tensor is malformed, and its error is raised if the model finds nothing else."""
    made = tensor_from_contents("X", DataType[datatype], (2,), pb.InferTensorContents(**fields), WHO)
    assert isinstance(made, MalformedTensor)
    assert str(made.error) == f"[request id: <id_unknown>] {text}"


def test_parameters_are_read():
    """The protocol's own parameters have their places, and the others go to the model."""
    message = pb.ModelInferRequest(
        parameters={
            "sequence_id": {"int64_param": -1},
            "sequence_start": {"bool_param": True},
            "sequence_end": {"bool_param": True},
            "priority": {"uint64_param": 3},
            "timeout": {"int64_param": -1},
            "triton_enable_empty_final_response": {"bool_param": True},
            "binary_data_output": {"bool_param": True},
            "s": {"string_param": "t"},
            "d": {"double_param": 0.5},
            "": {"int64_param": 0},
        }
    )
    told = read_parameters(message.parameters)
    assert (told.sequence_id, told.flags, told.priority, told.timeout_us) == (2**64 - 1, 3, 3, 2**64 - 1)
    assert told.empty_final_response
    assert told.custom == {"binary_data_output": True, "s": "t", "d": 0.5, "": 0}


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (
            {"shared_memory_region": {"int64_param": 1}},
            "invalid value type for 'shared_memory_region' parameter for tensor 'X', expected string_param.",
        ),
        (
            {"shared_memory_region": {"string_param": "r"}},
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor 'X'",
        ),
        (
            {"shared_memory_region": {"string_param": "r"}, "shared_memory_byte_size": {"bool_param": True}},
            "invalid value type for 'shared_memory_byte_size' parameter for tensor 'X', expected int64_param.",
        ),
        (
            {"shared_memory_region": {"string_param": "r"}, "shared_memory_byte_size": {"int64_param": 4}},
            "unexpected 'content' provided when using shared memory for input tensor 'X' for model 'm'",
        ),
    ],
)
def test_shared_memory_of_an_input_is_checked(parameters, text):
    """The texts are the reference's."""
    assert refusal(inputs=[tensor(parameters=parameters, contents={"fp32_contents": [1]})]) == text


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        (
            {"classification": {"string_param": "2"}},
            InvalidArgumentError,
            "invalid value type for 'classification' parameter, expected int64_param",
        ),
        (
            {"classification": {"int64_param": 0}},
            InvalidArgumentError,
            "invalid value for 'classification' parameter, expected >= 0",
        ),
        (
            {"shared_memory_region": {"string_param": "r"}, "shared_memory_byte_size": {"int64_param": 4}},
            NotFoundError,
            "Unable to find shared memory region: 'r'",
        ),
        ({"binary_data": {"bool_param": False}}, None, ""),
    ],
)
def test_parameters_of_an_output_are_checked(parameters, error, text):
    """What is not there is refused, and what the protocol does not know is ignored."""
    fields = {"outputs": [{"name": "Y", "parameters": parameters}]}
    if error is None:
        assert decode(**fields).request.requested_outputs == ("Y",)
        return
    with pytest.raises(error) as caught:
        decode(**fields)
    assert str(caught.value) == text


def test_outputs_may_be_classified():
    """How many elements are wanted is told for each output that asks."""
    asked = {"name": "Y", "parameters": {"classification": {"int64_param": 2}}}
    decoded = decode(outputs=[asked, {"name": "Z"}])
    assert decoded.classes == {"Y": 2}
    assert decoded.request.requested_outputs == ("Y", "Z")


@pytest.mark.parametrize(("text", "version"), [("", None), ("1", 1), ("007", 7)])
def test_versions_are_read(text, version):
    """No version leaves it to the server."""
    assert read_version(text) == version


@pytest.mark.parametrize("text", ["x", "1.5", " 1", "-", "9" * 30, "²", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_versions_that_are_no_numbers_are_told(text):
    """The text is the reference's."""
    with pytest.raises(InvalidArgumentError, match=r"failed to get model version .*\(details: stol\)"):
        read_version(text)


def test_negative_versions_are_told():
    """The text is the reference's."""
    with pytest.raises(InvalidArgumentError) as caught:
        read_version("-1")
    assert str(caught.value) == "invalid model version specified '-1' , version should be an integral value > 0"


PARAMETERS = st.dictionaries(
    st.sampled_from(["sequence_id", "priority", "timeout", "triton_x", "shared_memory_region", "classification", "a"]),
    st.one_of(
        st.just({}),
        st.builds(dict, int64_param=st.integers(-(2**63), 2**63 - 1)),
        st.builds(dict, string_param=st.text(max_size=3)),
        st.builds(dict, bool_param=st.booleans()),
    ),
    max_size=2,
)
TENSORS = st.builds(
    dict,
    name=st.sampled_from(["X", "Y", ""]),
    datatype=st.sampled_from([*DataType.__members__, "", "FLOAT"]),
    shape=st.lists(st.integers(-1, 3) | st.sampled_from([2**62, 2**63 - 1, -(2**63)]), max_size=70),
    parameters=PARAMETERS,
)
CONTENTS = st.none() | st.builds(
    dict, fp32_contents=st.lists(st.just(1.0), max_size=3), int_contents=st.lists(st.integers(-2, 2), max_size=3)
)


@given(
    st.lists(st.tuples(TENSORS, CONTENTS), max_size=3),
    st.lists(st.binary(max_size=16), max_size=3),
    PARAMETERS,
    st.lists(st.builds(dict, name=st.sampled_from("XY"), parameters=PARAMETERS), max_size=2),
)
def test_any_message_is_a_request_or_the_clients_mistake(tensors, raw, parameters, outputs):
    """Whatever a message holds, it is decoded, or refused with an error that is not INTERNAL."""
    inputs = [{**fields, **({} if contents is None else {"contents": contents})} for fields, contents in tensors]
    try:
        request = decode(inputs=inputs, raw_input_contents=raw, parameters=parameters, outputs=outputs).request
    except (InvalidArgumentError, NotFoundError, UnsupportedError):
        return
    assert [array.shape for array in request.inputs.values()] == [tuple(item["shape"]) for item in inputs]

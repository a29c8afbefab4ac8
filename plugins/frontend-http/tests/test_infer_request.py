"""How a request is read: what is taken as the reference takes it, and in which words the rest is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from charonia import DataType
from charonia.errors import InvalidArgumentError
from charonia.request import InferenceRequest
from charonia.tensor import MalformedTensor
from charonia_frontend_http.known_requests import KnownRequests
from codec import FakeModel, binary_body, decode


def refusal(model, body, header_length=None, **options):
    with pytest.raises(InvalidArgumentError) as caught:
        decode(model, body, header_length, **options)
    return str(caught.value)


def one_input(**members):
    return json.dumps({"inputs": [{"name": "X", "shape": [2], "datatype": "FP32", "data": [1, 2]} | members]}).encode()


def test_unaligned_data_is_made_aligned():
    """Wherever in the body a tensor starts, the model gets whole words."""
    for padding in range(4):
        body, length = binary_body({"X": np.ones(3, np.float32)}, id="i" * padding)
        assert decode(FakeModel(), body, length).request.inputs["X"].flags.aligned


def test_integers_wrap_as_in_the_reference():
    """A number outside a narrow datatype's range wraps around silently."""
    body = one_input(datatype="UINT8", data=[256, 257])
    assert decode(FakeModel(DataType.UINT8), body).request.inputs["X"].tolist() == [0, 1]


def test_ragged_nesting_is_flattened():
    """Only the leaves of `data` count."""
    body = one_input(shape=[4], data=[1, [2, [3]], 4])
    assert decode(FakeModel(), body).request.inputs["X"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"data": [1, 2, 3]}, "Unable to parse 'data': Shape does not match true shape of 'data' field"),
        ({"data": [1]}, "Failed to parse 'data' field: shape does not match true shape"),
        ({"data": [1, True]}, "Unable to parse 'data': attempt to access JSON non-number as double"),
        (
            {"datatype": "INT32", "data": [1, 1.0]},
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
        ),
        (
            {"datatype": "UINT8", "data": [1, -1]},
            "Unable to parse 'data': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"datatype": "INT64", "data": [1, 2**63]},
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
        ),
        ({"datatype": "BOOL", "data": [1, 0]}, "Unable to parse 'data': attempt to access JSON non-boolean as boolean"),
        (
            {"datatype": "BYTES", "data": [1, 0]},
            "Unable to parse JSON bytes array: attempt to access JSON non-string as string",
        ),
        (
            {"datatype": "FP16"},
            "receiving FP16 data via JSON is not supported. Please use the binary data format for input X",
        ),
        ({"datatype": "fp32"}, "invalid datatype for input X"),
        (
            {"shape": [2**63, 1]},
            "invalid shape for input 'X': shape [9223372036854775808,1] contains one or more invalid dimensions",
        ),
        (
            {"shape": [2**40, 2**40]},
            (
                "invalid shape for input 'X': shape [1099511627776,1099511627776] causes total element count to exceed maximum "
                "size of 9223372036854775807"
            ),
        ),
    ],
)
def test_wrong_data_is_told(members, text):
    """What is wrong with a JSON tensor is told in the reference's words."""
    assert refusal(FakeModel(), one_input(**members), limit=1 << 100) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        ("100000", "inference header size should be in range (0, {size}), got: 100000"),
        ("-1", "inference header size should be in range (0, {size}), got: -1"),
        ("abc", "Unable to parse Inference-Header-Content-Length, got: abc"),
        ("", "Unable to parse Inference-Header-Content-Length, got: "),
    ],
)
def test_header_length_is_checked(length, text):
    """A length of the JSON that cannot be is refused."""
    body, _ = binary_body({"X": np.ones(1, np.float32)})
    assert refusal(FakeModel(), body, length) == text.format(size=len(body))


def test_binary_data_must_be_there_and_nothing_else():
    """Bytes that are missing or left over are counted."""
    body, length = binary_body({"X": np.ones(2, np.float32)})
    assert refusal(FakeModel(), body[:-2], length) == (
        "unexpected size for input 'X', expecting 2 additional bytes for model 'm'"
    )
    assert refusal(FakeModel(), body + b"!", length) == "unexpected additional input data for model 'm'"


def test_data_that_does_not_fit_waits_for_the_models_check():
    """Data of the wrong size is told only after datatype and shape, which are the model's to judge."""
    header = json.dumps(
        {"inputs": [{"name": "X", "shape": [3], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]}
    ).encode()
    tensor = decode(FakeModel(), header + b"\0" * 8, str(len(header))).request.inputs["X"]
    assert isinstance(tensor, MalformedTensor)
    assert "Expected 12, got 8" in str(tensor.error)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            b"\x05\0\0\0ab",
            "incomplete string data for inference input 'X', expecting string of length 5 but only 2 bytes available",
        ),
        (b"\x05\0", "expecting 4 bytes but only 2 bytes available"),
        (b"\0\0\0\0" * 3, "unexpected number of string elements 3 for inference input 'X' for model 'm', expecting 2"),
        (b"\0\0\0\0", "expected 2 string elements for inference input 'X' for model 'm', got 1"),
    ],
)
def test_broken_strings_are_told(data, text):
    """Strings whose lengths do not add up are told in the reference's words."""
    header = json.dumps(
        {"inputs": [{"name": "X", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}]}
    ).encode()
    tensor = decode(FakeModel(DataType.BYTES), header + data, str(len(header))).request.inputs["X"]
    assert isinstance(tensor, MalformedTensor)
    assert text in str(tensor.error)


def test_too_large_json_names_the_flag():
    """The limit of JSON is told with the flag that moves it; binary tensors are not counted."""
    assert "Use --http-max-input-size to increase the limit" in refusal(FakeModel(), one_input(), limit=10)
    body, length = binary_body({"X": np.ones(1000, np.float32)})
    assert decode(FakeModel(), body, length, limit=1000).request.inputs["X"].size == 1000


def test_json_tensor_larger_than_the_limit_is_refused():
    """A tensor that a short JSON document claims to be large is refused by its shape."""
    assert "JSON input 'X' has a byte_size (4000000 bytes) that exceeds" in refusal(
        FakeModel(), one_input(shape=[1000000]), limit=1000
    )


def test_raw_request_is_the_one_input():
    """Without JSON the body is the one input's data, with a batch of one and the variable dimension inferred."""
    model = FakeModel(dims=(-1, 2), max_batch_size=4)
    tensor = decode(model, np.arange(6, dtype=np.float32).tobytes(), "0").request.inputs["X"]
    assert tensor.tolist() == [[[0, 1], [2, 3], [4, 5]]]
    text = refusal(FakeModel(inputs=("X", "Y")), b"")
    assert "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'm'" in text
    assert decode(FakeModel(DataType.BYTES, (1,)), b"hello", "0").request.inputs["X"].tolist() == [b"hello"]
    assert "more than one variable-sized dimension" in refusal(FakeModel(dims=(-1, -1)), b"x", "0")
    assert "the model must have input shape [1]" in refusal(FakeModel(DataType.BYTES, (2,)), b"x", "0")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ([], "failed to get request params.: attempt to get members for non-object"),
        (
            {"triton_x": 1},
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
        ),
        ({"n": None}, "parameter 'n' has invalid type. It should be either 'int', 'bool', or 'string'."),
        ({"sequence_id": 1.5}, "Unable to parse 'sequence_id': attempt to access JSON non-string as string"),
        ({"sequence_start": 1}, "Unable to parse 'sequence_start': attempt to access JSON non-boolean as boolean"),
        (
            {"priority": -1},
            "Unable to parse 'priority': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"timeout": "1"},
            "Unable to parse 'timeout': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"binary_data_output": 1},
            "Unable to parse 'binary_data_output': attempt to access JSON non-boolean as boolean",
        ),
    ],
)
def test_wrong_parameters_are_told(parameters, text):
    """What is wrong with the parameters is told in the reference's words."""
    body = json.dumps({"inputs": [], "parameters": parameters}).encode()
    assert refusal(FakeModel(), body) == text


def test_parameters_reach_the_request():
    """The protocol's own parameters set the request's fields, the others go on to the model."""
    parameters = {
        "sequence_id": 7,
        "sequence_start": True,
        "sequence_end": True,
        "priority": 2,
        "timeout": 3,
        "a": "b",
        "n": 2**63,
    }
    request = decode(FakeModel(), json.dumps({"id": "r", "inputs": [], "parameters": parameters}).encode()).request
    assert isinstance(request, InferenceRequest)
    assert (request.id, request.correlation_id, request.flags) == ("r", 7, 3)
    assert (request.priority, request.timeout_us) == (2, 3)
    assert request.parameters == {"a": "b", "n": float(2**63)}


def test_duplicates_are_refused():
    """An input or an output can be named once."""
    tensor = {"name": "X", "shape": [1], "datatype": "FP32", "data": [1]}
    text = refusal(FakeModel(), json.dumps({"id": "r", "inputs": [tensor, tensor]}).encode())
    assert text == "[request id: r] input 'X' already exists in request"
    text = refusal(FakeModel(), json.dumps({"inputs": [tensor], "outputs": [{"name": "X"}] * 2}).encode())
    assert text == "[request id: <id_unknown>] output 'X' already exists in request"


def test_known_requests_are_told_apart_by_all_that_they_say():
    """JSON that came before means the same with other tensors behind it; other JSON, or more behind it, is read anew."""
    model, known = FakeModel(), KnownRequests()
    for values in ([1, 2], [3, 4]):
        body, length = binary_body(
            {"X": np.array(values, np.float32)}, id="seven", parameters={"priority": 3, "k": "v"}
        )
        request = decode(model, body, length, known=known).request
        assert request.inputs["X"].tolist() == values
        assert (request.id, request.priority, request.parameters) == ("seven", 3, {"k": "v"})
    with pytest.raises(InvalidArgumentError, match="unexpected additional input data"):
        decode(model, body + b"1234", length, known=known)
    with pytest.raises(InvalidArgumentError, match="expecting 4 additional bytes"):
        decode(model, body[:-4], length, known=known)


def test_known_requests_are_few():
    """However many different requests come, only some are remembered, and each is read right."""
    model, known = FakeModel(), KnownRequests()
    for number in range(1000):
        body, length = binary_body({"X": np.array([number], np.float32)}, id=str(number))
        assert decode(model, body, length, known=known).request.id == str(number)
    assert len(known) <= 64

"""From bytes to requests, and from responses to bytes: round trips of every datatype, and no input that breaks it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from charonia import DataType
from charonia.errors import ErrorCode, InferenceError, InvalidArgumentError
from charonia.request import InferenceRequest, InferenceResponse
from charonia.shared_memory import SharedMemory
from charonia.signature import Signature
from charonia.tensor import MalformedTensor, encode_bytes
from charonia_frontend_http.infer_request import decode_infer
from charonia_frontend_http.infer_response import ResponseEncoder
from charonia_frontend_http.known_requests import KnownRequests
from charonia_protos.model_config_pb2 import ModelConfig
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

LIMIT = 1 << 20


class FakeModel:
    """The facts of a model, which is all that the codec looks at."""

    def __init__(self, datatype=DataType.FP32, dims=(-1,), max_batch_size=0, inputs=("X",)):
        config = ModelConfig(name="m", max_batch_size=max_batch_size)
        for name in inputs:
            config.input.add(name=name, data_type=datatype.number, dims=dims)
        config.output.add(name="X", data_type=datatype.number, dims=dims)
        self.name, self.version, self.signature, self.labels = "m", 1, Signature(config), {}


def decode(model, body, header_length=None, *, limit=LIMIT, known=None):
    """Decode a body twice, as a model is asked that was asked the same before; both must tell the same."""
    if known is None:
        known = KnownRequests()
        decode(model, body, header_length, limit=limit, known=known)
    return decode_infer(model, None, body, header_length, limit, SharedMemory(allowed=False), lambda _: None, known)


def binary_body(arrays_by_name, *, outputs=None, **more):
    """Write a binary request as a client does."""
    inputs, tail = [], b""
    for name, array in arrays_by_name.items():
        datatype = DataType.of_dtype(array.dtype)
        data = encode_bytes(array) if datatype is DataType.BYTES else array.tobytes()
        inputs.append(
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": datatype.name,
                "parameters": {"binary_data_size": len(data)},
            }
        )
        tail += data
    document = {"inputs": inputs, **more}
    if outputs is not None:
        document["outputs"] = outputs
    header = json.dumps(document).encode()
    return header + tail, str(len(header))


def respond(model, decoded, array):
    return ResponseEncoder(model).encode(decoded, InferenceResponse({"X": array}))


def read_response(response):
    """Read a response as a client does: the document, and the binary tail."""
    length = response.headers.get("Inference-Header-Content-Length")
    size = int(length) if length else len(response.body)
    return json.loads(response.body[:size]), response.body[size:]


SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)
NUMBERS = [datatype for datatype in DataType if datatype not in {DataType.BYTES, DataType.BF16}]


@given(st.data(), st.sampled_from(NUMBERS), SHAPES)
def test_binary_round_trip_of_numbers(data, datatype, shape):
    """A tensor sent in binary form comes back bit by bit."""
    array = data.draw(arrays.arrays(datatype.dtype, shape))
    model = FakeModel(datatype, (-1,) * len(shape))
    decoded = decode(model, *binary_body({"X": array}, outputs=[{"name": "X", "parameters": {"binary_data": True}}]))
    received = decoded.request.inputs["X"]
    assert received.shape == shape
    assert received.tobytes() == array.tobytes()
    document, tail = read_response(respond(model, decoded, received))
    assert document["outputs"][0]["parameters"]["binary_data_size"] == array.nbytes
    assert tail == array.tobytes()


def test_binary_round_trip_of_bfloat16():
    """BF16 is the upper half of FP32."""
    array = np.array([1.5, -2.0], DataType.BF16.dtype)
    decoded = decode(FakeModel(DataType.BF16), *binary_body({"X": array}))
    assert decoded.request.inputs["X"].tolist() == [1.5, -2.0]


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_binary_round_trip_of_strings(items):
    """Strings of any bytes come back as they went."""
    array = np.empty(len(items), object)
    array[:] = items
    model = FakeModel(DataType.BYTES)
    decoded = decode(model, *binary_body({"X": array}, parameters={"binary_data_output": True}))
    assert decoded.request.inputs["X"].tolist() == items
    _, tail = read_response(respond(model, decoded, decoded.request.inputs["X"]))
    assert tail == encode_bytes(array)


@given(st.data(), st.sampled_from([item for item in NUMBERS if item is not DataType.FP16]), SHAPES)
def test_json_round_trip_of_numbers(data, datatype, shape):
    """A tensor sent in JSON, in its nesting, comes back as a flat array of the same values; NaN and infinities too."""
    array = data.draw(arrays.arrays(datatype.dtype, shape))
    model = FakeModel(datatype, (-1,) * len(shape))
    body = json.dumps(
        {"inputs": [{"name": "X", "shape": shape, "datatype": datatype.name, "data": array.tolist()}]}
    ).encode()
    decoded = decode(model, body)
    np.testing.assert_array_equal(decoded.request.inputs["X"], array)
    document, tail = read_response(respond(model, decoded, array))
    assert tail == b""
    np.testing.assert_array_equal(np.array(document["outputs"][0]["data"], datatype.dtype), array.ravel())


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_json_round_trip_of_strings(items):
    """Text comes back as it went."""
    model = FakeModel(DataType.BYTES)
    body = json.dumps(
        {"inputs": [{"name": "X", "shape": [len(items)], "datatype": "BYTES", "data": items}]}, ensure_ascii=True
    ).encode()
    decoded = decode(model, body)
    document, _ = read_response(respond(model, decoded, decoded.request.inputs["X"]))
    assert document["outputs"][0]["data"] == items


@given(st.binary(max_size=200), st.none() | st.integers(-5, 250).map(str) | st.text(max_size=5))
def test_any_bytes_make_a_request_or_a_refusal(body, header_length):
    """Arbitrary input is a request or an error of the client's, never one of ours."""
    model = FakeModel()
    try:
        decoded = decode(model, body, header_length)
        model.signature.check(decoded.request)
    except InferenceError as error:
        code = error.code
    else:
        code = None
    assert code is not ErrorCode.INTERNAL


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**65) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "data", "shape"]), inner),
    max_leaves=8,
)
MEMBERS = ["name", "shape", "datatype", "data", "parameters", "binary_data_size"]


@given(
    st.lists(st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES) | JSON_VALUES, max_size=2),
    st.dictionaries(st.sampled_from(["id", "parameters", "outputs"]), JSON_VALUES),
)
def test_any_json_makes_a_request_or_a_refusal(inputs, more):
    """Documents of the right members and the wrong values are refused as the client's mistake."""
    model = FakeModel(DataType.INT32)
    try:
        decoded = decode(model, json.dumps({"inputs": inputs, **more}).encode())
        model.signature.check(decoded.request)
    except InferenceError as error:
        code = error.code
    else:
        code = None
    assert code is not ErrorCode.INTERNAL


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


def test_listed_output_without_a_word_is_json():
    """As in the reference, `binary_data_output` is about outputs that are not listed."""
    body, length = binary_body(
        {"X": np.ones(1, np.float32)}, outputs=[{"name": "X"}], parameters={"binary_data_output": True}
    )
    decoded = decode(FakeModel(), body, length)
    assert read_response(respond(FakeModel(), decoded, np.ones(1, np.float32)))[1] == b""


def test_empty_binary_outputs_are_told_in_json():
    """As in the reference, a response whose binary part is empty has no header length."""
    body, length = binary_body({"X": np.ones(0, np.float32)}, parameters={"binary_data_output": True})
    decoded = decode(FakeModel(), body, length)
    response = respond(FakeModel(), decoded, np.ones(0, np.float32))
    assert response.content_type == "application/json"
    assert "Inference-Header-Content-Length" not in response.headers
    assert json.loads(response.body)["outputs"][0]["parameters"] == {"binary_data_size": 0}


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


def test_half_precision_cannot_be_told_in_json():
    """FP16 and BF16 outputs need the binary form."""
    model = FakeModel(DataType.FP16)
    decoded = decode(model, json.dumps({"inputs": []}).encode())
    with pytest.raises(InvalidArgumentError, match="sending FP16 data via JSON is not supported"):
        respond(model, decoded, np.ones(1, np.float16))


def test_bytes_that_are_no_text_are_emitted_raw():
    """As in the reference, they make invalid JSON, which tells the client to ask for binary."""
    model = FakeModel(DataType.BYTES)
    decoded = decode(model, json.dumps({"inputs": []}).encode())
    assert b'"data":["a\xff\\n"]' in respond(model, decoded, np.array([b"a\xff\n"], object)).body


def test_numbers_are_the_doubles_shortest_text():
    """FP32 values are printed as the doubles that they are, and what is no number by its word."""
    model = FakeModel()
    decoded = decode(model, json.dumps({"inputs": []}).encode())
    array = np.array([0.1, 1, np.nan, np.inf, -np.inf], np.float32)
    assert b'"data":[0.10000000149011612,1.0]' in respond(model, decoded, array[:2]).body
    assert b'"data":[0.10000000149011612,1.0,NaN,Infinity,-Infinity]' in respond(model, decoded, array).body


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

"""From bytes to requests, and from responses to bytes: round trips of every datatype, and no input that breaks it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from charonia import DataType
from charonia.errors import ErrorCode, InferenceError, InvalidArgumentError
from charonia.tensor import encode_bytes
from codec import FakeModel, binary_body, decode, read_response, respond
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

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

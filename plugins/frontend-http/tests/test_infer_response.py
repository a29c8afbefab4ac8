"""Responses that are not plain: outputs nobody asked for, other datatypes, text that is none."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from charonia.errors import InternalError, InvalidArgumentError
from charonia.request import InferenceRequest, InferenceResponse
from charonia.signature import Signature
from charonia.testing.builders import model_config
from charonia_frontend_http.decoded import Decoded, Wanted
from charonia_frontend_http.infer_response import ResponseEncoder
from hypothesis import given
from hypothesis import strategies as st


class Facts:
    """What the encoder asks of a model."""

    def __init__(self):
        config = model_config("m", outputs=[("A", "FP32", [-1]), ("B", "BYTES", [-1])], max_batch_size=0)
        self.name = 'm"'
        self.version = 3
        self.signature = Signature(config)
        self.labels = {"A": (b"cat", b"dog")}


def encode(outputs, *, identifier="", binary=None, default=False, parameters=None, classes=None):
    """Encode a response to a request that asked in some way."""
    request = InferenceRequest("m", {}, lambda _: None, id=identifier)
    response = InferenceResponse(outputs, parameters=parameters)
    decoded = Decoded(request, Wanted(binary or {}, binary_default=default, classes=classes or {}))
    return ResponseEncoder(Facts()).encode(decoded, response)


def outputs_of(response):
    """Give the outputs of a JSON response by name."""
    return {output["name"]: output for output in json.loads(response.body)["outputs"]}


ONE = np.array([1], np.float32)


def test_members_have_their_order():
    """The document is written in the reference's order and without spaces."""
    response = encode({"A": ONE}, identifier="7", parameters={"k": 1})
    assert response.body == (
        b'{"id":"7","model_name":"m\\"","model_version":"3","parameters":{"k":1},"outputs":'
        b'[{"name":"A","datatype":"FP32","shape":[1],"data":[1.0]}]}'
    )


def test_outputs_keep_the_models_order_and_what_is_unknown_is_dropped():
    """Outputs come as the model made them; those that it does not declare do not come."""
    response = encode({"B": np.array([b"x"], object), "C": ONE, "A": ONE})
    assert list(outputs_of(response)) == ["B", "A"]


def test_only_what_was_asked_for_is_told():
    """An output that the request does not list is left out, even if the model made it."""
    assert list(outputs_of(encode({"A": ONE, "B": np.array([b"x"], object)}, binary={"B": False}))) == ["B"]


def test_another_datatype_than_declared_is_told():
    """The response tells the datatype that there is, in the byte order of the protocol."""
    response = encode({"A": np.array([1, 2], ">i4")}, default=True)
    length = int(response.headers["Inference-Header-Content-Length"])
    assert json.loads(response.body[:length])["outputs"][0]["datatype"] == "INT32"
    assert response.body[length:] == b"\1\0\0\0\2\0\0\0"


def test_dtype_without_a_name_in_the_protocol_is_the_models_fault():
    """A model that makes complex numbers has failed, and is told how."""
    with pytest.raises(InternalError, match="output 'A' has dtype complex64"):
        encode({"A": ONE.astype(np.complex64)})


@pytest.mark.parametrize("binary", [False, True])
def test_arrays_of_any_layout(binary):
    """Elements are written in row-major order, wherever they lie."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1].T
    response = encode({"A": array}, default=binary)
    if binary:
        assert response.body.endswith(np.ascontiguousarray(array).tobytes())
    else:
        assert outputs_of(response)["A"]["data"] == array.ravel().tolist()


def test_numbers_are_written_as_doubles():
    """FP32 is written as the double that it is; what is no number, by its word."""
    values = np.array([0.1, 1e-7, 1e10, -0.0, math.nan, math.inf, -math.inf], np.float32)
    text = b'"data":[0.10000000149011612,1.0000000116860974e-7,10000000000.0,-0.0'
    assert text + b"]" in encode({"A": values[:4]}).body
    assert text + b",NaN,Infinity,-Infinity]" in encode({"A": values}).body


def test_text_that_is_none_comes_back_as_its_bytes():
    """An id and parameters that came as no UTF-8 go back as they came, as in the reference."""
    strange = b"a\xffb".decode("utf-8", "surrogateescape")
    body = encode({"A": ONE}, identifier=strange, parameters={"k": strange}).body
    assert b'{"id":"a\xffb",' in body
    assert b'"parameters":{"k":"a\xffb"}' in body


def test_parameters_of_every_type():
    """Parameters are truth values, integers, text and doubles; also those that are no numbers."""
    parameters = {"b": True, "i": -(2**63), "s": "null", "d": 0.5, "n": math.inf}
    assert json.loads(encode({"A": ONE}, parameters=parameters).body)["parameters"] == parameters


def test_strings_of_control_characters():
    """Control characters are escaped, everything else stands as it is."""
    response = encode({"B": np.array([b'\x00\x1f"\\/', "é€😀".encode()], object)})
    assert '"data":["\\u0000\\u001f\\"\\\\/","é€😀"]'.encode() in response.body


def test_text_in_place_of_bytes_is_taken():
    """Backends that make `str` elements are understood in both forms."""
    array = np.array(["ä", b"b"], object)
    assert outputs_of(encode({"B": array}))["B"]["data"] == ["ä", "b"]
    assert encode({"B": array}, default=True).body.endswith(b"\2\0\0\0\xc3\xa4\1\0\0\0b")


def test_classes_stand_in_place_of_the_output():
    """An output that is classified is text, with labels, in JSON or in binary form; the others are as they are."""
    outputs = {"A": np.array([1, 5, 5], np.float32), "B": np.array([b"x"], object)}
    told = outputs_of(encode(outputs, binary={"A": False, "B": False}, classes={"A": 2}))
    assert told["A"] == {"name": "A", "datatype": "BYTES", "shape": [2], "data": ["5.000000:1:dog", "5.000000:2"]}
    assert told["B"]["data"] == ["x"]
    response = encode(outputs, binary={"A": True}, classes={"A": 1})
    assert response.body.endswith(b"\x0e\x00\x00\x005.000000:1:dog")


def test_text_cannot_be_classified():
    """Which text is the greatest is no question."""
    with pytest.raises(InvalidArgumentError, match="unsupported type 'BYTES'"):
        encode({"B": np.array([b"x"], object)}, binary={"B": False}, classes={"B": 1})


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=60))
def test_answers_to_equal_requests_are_written_as_if_each_was_the_first(answers):
    """What is remembered of earlier answers changes nothing, whatever shapes and outputs the answers have, and is bounded."""
    encoder, wanted = ResponseEncoder(Facts()), Wanted({}, binary_default=True)
    for size, more in answers:
        outputs = {"A": np.arange(size, dtype=np.float32), **({"B": np.array([b"x"], object)} if more else {})}
        request = InferenceRequest("m", {}, lambda _: None, id="seven")
        again = encoder.encode(Decoded(request, wanted), InferenceResponse(outputs))
        first = ResponseEncoder(Facts()).encode(
            Decoded(request, Wanted({}, binary_default=True)), InferenceResponse(outputs)
        )
        assert again == first
    assert len(wanted.documents) <= 16

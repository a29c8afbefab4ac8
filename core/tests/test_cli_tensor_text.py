"""Tensors on the command line and on the screen."""

from __future__ import annotations

import json

import click
import numpy as np
import pytest
from charonia.cli.client import infer_body
from charonia.cli.tensor_text import json_output, read_output, read_value, show_output
from charonia.datatypes import DataType
from charonia.tensor import encode_bytes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays


@pytest.mark.parametrize(
    ("text", "datatype", "shape", "expected"),
    [
        ("[[1, 2], [3, 4]]", "FP32", [-1, 2], [[1, 2], [3, 4]]),
        ("[1, 2]", "INT64", [-1, 2], [[1, 2]]),
        ("7", "INT8", [-1, 1], [[7]]),
        ("1.5", "FP16", [1], [1.5]),
        ("true", "BOOL", [1], [True]),
        ("a text", "BYTES", [-1, 1], [[b"a text"]]),
        ('["a", "b"]', "BYTES", [2], [b"a", b"b"]),
        ('"7"', "BYTES", [1], [b"7"]),
        ("12", "BYTES", [1], [b"12"]),
    ],
)
def test_values_are_read_as_the_model_takes_them(text, datatype, shape, expected):
    """The datatype is the model's, and a value without the batch dimension is a batch of one."""
    array = read_value("x", text, DataType[datatype], shape)
    assert array.tolist() == expected
    assert array.dtype == DataType[datatype].dtype


def test_values_come_from_files(tmp_path):
    """Numpy's own files, JSON, and bare bytes, which are elements for numbers and one text for BYTES."""
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    (tmp_path / "x.json").write_text("[1, 2]")
    (tmp_path / "x.raw").write_bytes(b"\x01\x00\x02\x00")
    assert read_value("x", f"{tmp_path}/x.npy", DataType.FP32, [-1, 3]).shape == (2, 3)
    assert read_value("x", f"{tmp_path}/x.json", DataType.INT32, [2]).tolist() == [1, 2]
    assert read_value("x", f"@{tmp_path}/x.raw", DataType.INT16, [2]).tolist() == [1, 2]
    assert read_value("x", f"@{tmp_path}/x.raw", DataType.BYTES, [-1, 1]).tolist() == [[b"\x01\x00\x02\x00"]]


@pytest.mark.parametrize(
    ("text", "datatype", "message"),
    [
        ("abc", "FP32", "'abc' is no FP32 value: give JSON such as"),
        ("{}", "FP32", "'{}' is no FP32 value"),
        ("1.5", "INT32", "cannot make a INT32 tensor"),
        ("[300]", "UINT8", "cannot make a UINT8 tensor"),
        ("[[1], [2, 3]]", "FP32", "cannot make a FP32 tensor"),
        ("nowhere.npy", "FP32", "nowhere.npy: No such file or directory."),
        ("@nowhere", "BYTES", "nowhere: No such file or directory."),
        ("nowhere.json", "BYTES", "nowhere.json: No such file or directory."),
    ],
)
def test_wrong_values_are_named(text, datatype, message):
    """The reader learns which input is wrong, and how values are written."""
    with pytest.raises(click.BadParameter) as caught:
        read_value("x", text, DataType[datatype], [-1])
    assert message in caught.value.message
    assert caught.value.param_hint == "'x'"


def test_a_pickle_is_not_loaded(tmp_path):
    """A file of numpy that could run code is refused."""
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(click.BadParameter, match="allow_pickle"):
        read_value("x", f"{tmp_path}/x.npy", DataType.BYTES, [1])


@given(
    st.sampled_from([datatype for datatype in DataType if datatype is not DataType.BYTES]).flatmap(
        lambda datatype: (
            arrays.arrays(datatype.dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))
            if datatype is not DataType.BF16
            else arrays.arrays(np.float32, (2,), elements=st.just(1.5)).map(lambda array: array.astype(datatype.dtype))
        )
    )
)
def test_a_tensor_goes_over_the_wire_unchanged(array):
    """What `infer_body` writes in binary is what `read_output` reads."""
    body, headers = infer_body({"x": array}, [])
    length = int(headers["Inference-Header-Content-Length"])
    document = json.loads(body[:length])
    back, rest = read_output(document["inputs"][0], memoryview(body[length:]))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert rest == b""


def test_bytes_go_over_the_wire_unchanged():
    """Elements of any length, with any bytes in them."""
    array = np.array([[b"", b"a\0"], [b"\xff", b"long" * 100]], object)
    body, headers = infer_body({"x": array}, ["y"])
    length = int(headers["Inference-Header-Content-Length"])
    document = json.loads(body[:length])
    back, _ = read_output(document["inputs"][0], memoryview(body[length:]))
    assert back.tolist() == array.tolist()
    assert document["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]


def test_outputs_in_json_are_read_too():
    """A server that answers in JSON is understood, beside outputs in binary."""
    plain = {"name": "a", "datatype": "INT32", "shape": [2, 1], "data": [1, 2]}
    binary = {"name": "b", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}
    array, rest = read_output(plain, memoryview(encode_bytes(np.array([b"x"], object))))
    assert array.tolist() == [[1], [2]]
    assert read_output(binary, rest)[0].tolist() == [b"x"]


def test_outputs_are_shown_for_people_and_programs():
    """Text is text, numbers are numbers, and JSON is flat as in the protocol."""
    words = np.array([["cat", "dog"]], object)
    words[:] = [[b"cat", b"\xff"]]
    assert show_output("labels", words) == "labels  BYTES [1, 2]\n[['cat', '\\\\xff']]"
    half = np.array([1.5], DataType.BF16.dtype)
    assert show_output("y", half) == "y  BF16 [1]\n[1.5]"
    assert json_output("y", half) == {"name": "y", "datatype": "BF16", "shape": [1], "data": [1.5]}
    assert json_output("labels", words)["data"] == ["cat", "\\xff"]

"""Checking a configuration against a graph: pure functions."""

from __future__ import annotations

import pytest
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia_backend_onnx.check import check_against_graph
from charonia_backend_onnx.graph import Graph, GraphTensor
from charonia_protos.model_config_pb2 import ModelConfig
from google.protobuf import text_format

X = GraphTensor("X", DataType.FP32, (-1, 3))
Y = GraphTensor("Y", DataType.FP32, (-1, 3))
GRAPH = Graph([X], [Y])
GOOD = """max_batch_size: 4
    input { name: "X" data_type: TYPE_FP32 dims: [ 3 ] }
    output { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] }"""


def check(text, graph=GRAPH):
    check_against_graph(text_format.Parse(text, ModelConfig(name="m")), graph)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("[ 3 ]", "[ -1 ]"),
        GOOD.replace("4", "0", 1).replace("[ 3 ]", "[ -1, 3 ]"),
        GOOD.replace("4", "0", 1).replace("[ 3 ]", "[ 7, 3 ]"),
        GOOD.replace("[ 3 ]", "[ 1, 3 ] reshape { shape: [ 3 ] }"),
    ],
)
def test_configuration_that_fits_passes(text):
    """Dims may be the graph's, or narrower, or wider; a reshape counts in place of dims."""
    check(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            GOOD.replace('"X"', '"XX"'),
            "unexpected inference input 'XX' in the configuration of model 'm', allowed inputs are: X; did you mean 'X'?",
        ),
        (GOOD.replace('"Y"', '"far"'), "unexpected inference output 'far' in the configuration of model 'm', allowed outputs are: Y"),
        (
            GOOD.replace("TYPE_FP32", "TYPE_INT32", 1),
            ("unable to load model 'm', configuration expects datatype TYPE_INT32 for input 'X', model provides TYPE_FP32: "
            "write data_type: TYPE_FP32"),
        ),
        (
            GOOD.replace("[ 3 ]", "[ 4 ]", 1),
            ("model 'm', tensor 'X': the model expects shape [-1, 3] but the model configuration specifies shape [-1, 4]: "
            "write dims: [3] for this input"),
        ),
        (
            GOOD.replace("[ 3 ]", "[ 3, 1 ]", 1),
            ("model 'm', tensor 'X': the model expects 2 dimensions (shape [-1, 3]) but the model configuration specifies 3 "
            "dimensions (shape [-1, 3, 1], an initial batch dimension because max_batch_size > 0 and then the dims): write "
            "dims: [3] for this input"),
        ),
        (
            GOOD.replace("4", "0", 1),
            ("model 'm', tensor 'X': the model expects 2 dimensions (shape [-1, 3]) but the model configuration specifies 1 "
            "dimensions (shape [3]): write dims: [-1, 3] for this input"),
        ),
    ],
)  # fmt: skip
def test_contradiction_names_tensor_found_expected_and_fix(text, told):
    """The whole text, since that is what somebody sees who is stuck."""
    with pytest.raises(InvalidArgumentError) as caught:
        check(text)
    assert str(caught.value) == told


def test_missing_input_is_named():
    """An input of the graph that nobody would give is an error before the first request."""
    graph = Graph([X, GraphTensor("Z", DataType.FP32, (-1,))], [Y])
    with pytest.raises(InvalidArgumentError, match="configuration expects 1 inputs, model provides 2: add 'Z' to"):
        check(GOOD, graph)


def test_inputs_that_others_give_are_not_missed():
    """Optional inputs, defaults, and what a sequence scheduler gives need not be configured; outputs may be left out."""
    graph = Graph(
        [X, GraphTensor("O", DataType.FP32, (), optional=True), GraphTensor("START", DataType.FP32, (-1, 1))],
        [Y, GraphTensor("more", DataType.FP32, (-1,))],
        [GraphTensor("B", DataType.FP32, (3,))],
    )
    check(GOOD + 'sequence_batching { control_input { name: "START" } }', graph)


def test_input_with_a_default_is_checked_when_it_is_configured():
    """A configured initializer has a datatype and a shape like any input."""
    graph = Graph([X], [Y], [GraphTensor("B", DataType.INT64, (2,))])
    opened = (
        GOOD.replace("4", "0", 1).replace("[ 3 ]", "[ -1, 3 ]")
        + 'input { name: "B" data_type: TYPE_INT64 dims: [ %s ] }'
    )
    check(opened % 2, graph)
    with pytest.raises(InvalidArgumentError, match=r"tensor 'B': the model expects shape \[2\]"):
        check(opened % 5, graph)


@pytest.mark.parametrize("shape", [(1, 3), ()])
def test_batches_need_a_variable_first_dimension(shape):
    """The text is the reference's, with the way out."""
    graph = Graph([GraphTensor("X", DataType.FP32, shape)], [Y])
    with pytest.raises(InvalidArgumentError, match=r"the first dimension must be -1; .*set max_batch_size to 0"):
        check(GOOD, graph)


def test_tensor_without_a_shape_takes_any_dims():
    """A scalar, and a tensor about whose shape the graph is silent, look alike; without batching neither is refused."""
    graph = Graph([GraphTensor("X", DataType.FP32, ())], [GraphTensor("Y", DataType.FP32, ())])
    for dims in ("[ 1 ]", "[ -1, 3 ]"):
        check(GOOD.replace("4", "0", 1).replace("[ 3 ]", dims), graph)


def test_text_in_and_bfloat16_out_is_unsupported():
    """ONNX Runtime's Python interface has no call for it."""
    text = GOOD.replace("TYPE_FP32", "TYPE_STRING", 1).replace("TYPE_FP32", "TYPE_BF16", 1)
    graph = Graph([GraphTensor("X", DataType.BYTES, (-1, 3))], [GraphTensor("Y", DataType.BF16, (-1, 3))])
    with pytest.raises(UnsupportedError, match="BYTES input 'X' and the BF16 output 'Y'"):
        check(text, graph)

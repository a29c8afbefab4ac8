"""Completing a configuration from a graph, and checking one against it: pure functions."""

from __future__ import annotations

from pathlib import Path

import pytest
from charonia.backend import ModelContext
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.graph import Graph, GraphTensor, check_against_graph, complete_from_graph, is_complete
from charonia_protos.model_config_pb2 import ModelConfig
from google.protobuf import text_format

X = GraphTensor("X", DataType.FP32, (-1, 3))
Y = GraphTensor("Y", DataType.INT64, (-1, 2, -1))
BATCHING = Graph([X], [Y])


def complete(text="", graph=BATCHING, schedulers=("dynamic_batching",), default=4):
    config = text_format.Parse(text, ModelConfig(name="m"))
    context = ModelContext("m", 1, Path(), config, schedulers=frozenset(schedulers), default_max_batch_size=default)
    return complete_from_graph(context, graph)


def test_variable_first_dimensions_make_a_batching_model():
    """Every tensor loses its first dimension, max_batch_size is the default, and dynamic batching is on."""
    config = complete()
    assert config.max_batch_size == 4
    assert config.HasField("dynamic_batching")
    assert (list(config.input[0].dims), list(config.output[0].dims)) == ([3], [2, -1])
    assert (config.input[0].data_type, config.output[0].data_type) == (DataType.FP32.number, DataType.INT64.number)


def test_dynamic_batching_is_added_only_where_somebody_serves_it():
    """Without the scheduler's plugin the model batches what one request holds, and needs no plugin."""
    config = complete(schedulers=())
    assert (config.max_batch_size, config.WhichOneof("scheduling_choice")) == (4, None)


@pytest.mark.parametrize(("default", "expected"), [(0, 0), (1, 1)])
def test_default_max_batch_size_of_one_or_none_adds_no_dynamic_batching(default, expected):
    """As in the reference, a default of 0 or 1 leaves the scheduler alone."""
    config = complete(default=default)
    assert (config.max_batch_size, config.WhichOneof("scheduling_choice")) == (expected, None)
    assert list(config.input[0].dims) == ([3] if expected else [-1, 3])


def test_chosen_scheduler_and_batch_size_stay():
    """What is written is the user's choice."""
    config = complete("max_batch_size: 8 sequence_batching { }")
    assert (config.max_batch_size, config.WhichOneof("scheduling_choice")) == (8, "sequence_batching")


def test_one_fixed_first_dimension_makes_a_model_without_batching():
    """The full shapes are the dims."""
    config = complete(graph=Graph([X], [GraphTensor("Y", DataType.FP32, (1, 2))]))
    assert config.max_batch_size == 0
    assert (list(config.input[0].dims), list(config.output[0].dims)) == ([-1, 3], [1, 2])


def test_batches_of_a_fixed_graph_are_refused():
    """The text is the reference's."""
    with pytest.raises(
        InvalidArgumentError,
        match=r"^autofill failed for model 'm': model does not support batching while non-zero max_batch_size is specified",
    ):
        complete("max_batch_size: 2", Graph([GraphTensor("X", DataType.FP32, (1, 3))], [Y]))


def test_nothing_but_the_batch_becomes_one_element_with_a_reshape():
    """A tensor whose only dimension is the batch has dims [1], and a reshape that takes it away again."""
    config = complete(graph=Graph([GraphTensor("X", DataType.FP32, (-1,))], [Y]))
    assert (list(config.input[0].dims), list(config.input[0].reshape.shape)) == ([1], [])
    assert config.input[0].HasField("reshape")


def test_partial_tensors_are_completed_by_name():
    """Datatypes and dims that are missing come from the graph, in the order that is written; no tensor is added."""
    other = GraphTensor("Z", DataType.BOOL, (-1,))
    graph = Graph([X], [Y, other])
    config = complete('output { name: "Z" } output { name: "Y" dims: [ 2, 9 ] }', graph)
    assert [tensor.name for tensor in config.output] == ["Z", "Y"]
    assert [list(tensor.dims) for tensor in config.output] == [[1], [2, 9]]
    assert config.output[0].data_type == DataType.BOOL.number
    assert [tensor.name for tensor in complete('output { name: "Y" }', graph).output] == ["Y"]


def test_dims_of_full_rank_ask_for_no_batching():
    """Who writes the batch dimension into dims does not want the server's batching."""
    config = complete('input { name: "X" data_type: TYPE_FP32 dims: [ -1, 3 ] }')
    assert (config.max_batch_size, list(config.output[0].dims)) == (0, [-1, 2, -1])
    assert complete('input { name: "X" data_type: TYPE_FP32 dims: [ 3 ] }').max_batch_size == 4


def test_inputs_of_the_sequence_scheduler_are_not_the_clients():
    """Controls and states are inputs of the graph, but not of the model."""
    controls = """sequence_batching { control_input { name: "START" control { kind: CONTROL_SEQUENCE_START } }
        state { input_name: "S" output_name: "T" } }"""
    given = [GraphTensor(name, DataType.FP32, (-1, 1)) for name in ("START", "S")]
    assert [tensor.name for tensor in complete(controls, Graph([X, *given], [Y])).input] == ["X"]


def test_written_configuration_is_left_alone():
    """As in the reference, nothing is completed where inputs and outputs are written in full."""
    full = 'input { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } output { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] }'
    assert is_complete(text_format.Parse(full, ModelConfig()))
    for partial in ("", full.replace("output", "input"), full.replace("dims: [ 3 ]", "", 1)):
        assert not is_complete(text_format.Parse(partial, ModelConfig()))


def test_given_configuration_is_not_changed():
    """The completed configuration is a copy."""
    config = ModelConfig(name="m")
    complete_from_graph(ModelContext("m", 1, Path(), config), BATCHING)
    assert config == ModelConfig(name="m")


SAME = Graph([X], [GraphTensor("Y", DataType.FP32, (-1, 3))])
GOOD = """max_batch_size: 4
    input { name: "X" data_type: TYPE_FP32 dims: [ 3 ] }
    output { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] }"""


def check(text, graph=SAME):
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
    graph = Graph([X, GraphTensor("Z", DataType.FP32, (-1,))], SAME.outputs)
    with pytest.raises(InvalidArgumentError, match="configuration expects 1 inputs, model provides 2: add 'Z' to"):
        check(GOOD, graph)


def test_inputs_that_others_give_are_not_missed():
    """Optional inputs, defaults, and what a sequence scheduler gives need not be configured; outputs may be left out."""
    graph = Graph(
        [X, GraphTensor("O", DataType.FP32, (), optional=True), GraphTensor("START", DataType.FP32, (-1, 1))],
        [*SAME.outputs, GraphTensor("more", DataType.FP32, (-1,))],
        [GraphTensor("B", DataType.FP32, (3,))],
    )
    check(GOOD + 'sequence_batching { control_input { name: "START" } }', graph)


def test_input_with_a_default_is_checked_when_it_is_configured():
    """A configured initializer has a datatype and a shape like any input."""
    graph = Graph([X], SAME.outputs, [GraphTensor("B", DataType.INT64, (2,))])
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
    graph = Graph([GraphTensor("X", DataType.FP32, shape)], SAME.outputs)
    with pytest.raises(InvalidArgumentError, match=r"the first dimension must be -1; .*set max_batch_size to 0"):
        check(GOOD, graph)


def test_tensor_without_a_shape_takes_any_dims():
    """A scalar, and a tensor about whose shape the graph is silent, look alike; without batching neither is refused."""
    graph = Graph([GraphTensor("X", DataType.FP32, ())], [GraphTensor("Y", DataType.FP32, ())])
    for dims in ("[ 1 ]", "[ -1, 3 ]"):
        check(GOOD.replace("4", "0", 1).replace("[ 3 ]", dims), graph)


def test_unknown_rank_leaves_dims_open_and_takes_any():
    """A tensor about whose shape the file is silent gets its datatype only, and any dims go with it, batching or not."""
    silent = GraphTensor("Y", DataType.INT64, None)
    config = complete("max_batch_size: 2", Graph([X], [silent]))
    assert (config.max_batch_size, list(config.input[0].dims)) == (2, [3])
    assert (config.output[0].data_type, list(config.output[0].dims)) == (DataType.INT64.number, [])
    assert complete(graph=Graph([X], [silent])).max_batch_size == 0
    for text in (GOOD, GOOD.replace("4", "0", 1).replace("[ 3 ]", "[ -1, 3 ]")):
        check(text, Graph([X], [GraphTensor("Y", DataType.FP32, None)]))

"""GraphDefs: their names, which only the configuration tells."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

v1 = tf.compat.v1


def test_frozen_graph_computes(serve, repository, models, full_config):
    """A graph with constants for weights gives the numbers that numpy gives, and is told by its file."""
    server = serve(repository(models.frozen_perceptron(), full_config(x="x", y="y", y_dims="[ 4 ]")))
    inputs = np.array([[1, 2, 3], [-1, 0.5, 2]], np.float32)
    weights = np.arange(12, dtype=np.float32).reshape(3, 4) - 6
    np.testing.assert_allclose(server.model("m").infer({"x": inputs})["y"], np.maximum(inputs @ weights, 0), rtol=1e-6)
    assert server.model_config("m").platform == "tensorflow_graphdef"


def test_graph_of_version_2_computes(serve, repository, full_config):
    """A concrete function of TensorFlow 2 with its variables frozen is a GraphDef like any other."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    weights = tf.Variable([[2.0], [3.0]])
    function = tf.function(lambda x: x @ weights).get_concrete_function(tf.TensorSpec([None, 2], tf.float32, "x"))
    frozen = convert_variables_to_constants_v2(function)
    (output,) = [tensor.op.name for tensor in frozen.outputs]
    config = full_config(x="x", y=output, x_dims="[ 2 ]", y_dims="[ 1 ]")
    server = serve(repository(frozen.graph.as_graph_def().SerializeToString(), config))
    assert server.model("m").infer({"x": [[1.0, 1.0]]})[output].tolist() == [[5.0]]


def test_a_later_result_has_its_number(serve, repository, models):
    """A name with a number means that result of an operator; without one, the first."""

    def build():
        tf.split(v1.placeholder("float32", [4], name="x"), 2, name="halves")

    config = """
        input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
        output [ { name: "halves:1" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "halves" data_type: TYPE_FP32 dims: [ 2 ] } ]"""
    answer = serve(repository(models.graph_def(build), config)).model("m").infer({"x": [1.0, 2.0, 3.0, 4.0]})
    assert (answer["halves"].tolist(), answer["halves:1"].tolist()) == ([1, 2], [3, 4])


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            {"x": "X"},
            "unexpected inference input 'X' in the configuration of model 'm', allowed inputs are: x",
        ),
        (
            {"x": "x", "y": "Relu"},
            "unexpected inference output 'Relu' in the configuration of model 'm', allowed outputs are: y",
        ),
        (
            {"x": "x", "y": "yy"},
            "unexpected inference output 'yy' in the configuration of model 'm', allowed outputs are: y; did you mean 'y'?",
        ),
        (
            {"x": "x", "y": "MatMull"},
            "allowed outputs are: y; did you mean 'matmul'?",
        ),
        ({"x": "x", "y": "y:7"}, "unexpected inference output 'y:7' in the configuration of model 'm': "),
    ],
)
def test_wrong_name_is_told_with_the_nearest_right_one(serve, repository, models, reason, full_config, names, told):
    """Inputs are placeholders; any operator may be an output, and those at the ends of the graph are listed."""
    server = serve(repository(models.frozen_perceptron(), full_config(**names, y_dims="[ 4 ]")))
    assert told in reason(server)


def test_input_that_the_outputs_need_is_missed(serve, repository, models, reason, full_config):
    """A placeholder that stands behind an output must be an input; one that does not may be left out."""

    def build():
        x, z, _ = (v1.placeholder("float32", [None, 3], name=name) for name in ("x", "z", "unused"))
        tf.add(x, z, name="y")

    frozen = models.graph_def(build)
    told = reason(serve(repository(frozen, full_config(x="x", y="y"))))
    assert "configuration expects 1 inputs, model provides 2: add 'z' to the configuration's input" in told
    more = 'input [ { name: "z" data_type: TYPE_FP32 dims: [ 3 ] } ]'
    assert reason(serve(repository(frozen, full_config(more, x="x", y="y"), name="both")), "both") == ""


def test_bare_graph_says_what_to_write(serve, repository, models, reason):
    """Without a configuration, the placeholders and ends of the graph are listed."""
    told = reason(serve(repository(models.frozen_perceptron())))
    assert told == (
        "Invalid argument: model 'm' is a GraphDef, which does not tell its inputs and outputs: write input and output into its "
        "configuration; its placeholders are x; it ends in y"
    )


def test_long_lists_are_cut(serve, repository, models, reason):
    """Of many operators, a few are named and the others counted."""

    def build():
        for index in range(20):
            tf.identity(v1.placeholder("float32", [1], name=f"x{index:02}"), name=f"y{index:02}")

    told = reason(serve(repository(models.graph_def(build))))
    assert "its placeholders are x00, x01, x02, x03, x04, x05, x06, x07 and 12 more; it ends in y00" in told


def test_datatype_and_shape_are_checked_where_the_graph_tells_them(serve, repository, models, reason, full_config):
    """What TensorFlow infers from the graph is compared with the configuration."""
    frozen = models.frozen_perceptron()
    told = reason(serve(repository(frozen, full_config(x="x", y="y", y_dims="[ 5 ]"))))
    assert "tensor 'y': the model expects shape [-1, 4] but the model configuration specifies shape [-1, 5]" in told
    config = full_config(x="x", y="y", y_dims="[ 4 ]").replace("FP32", "FP64", 1)
    assert "model provides TYPE_FP32" in reason(serve(repository(frozen, config, name="other")), "other")

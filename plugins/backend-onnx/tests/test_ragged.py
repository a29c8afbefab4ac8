"""Real ONNX models that take ragged batches, run by the real ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.testing.backend_bench import Bench
from charonia.testing.builders import write_model
from charonia.testing.ragged_suite import RAGGED_KINDS, assert_ragged_batch, ragged_config
from charonia_backend_onnx.backend import OnnxBackend
from onnx import helper


def describing(models, shape):
    """Make a model whose Y is twice its ragged X, and whose rows of TOLD are the sum and the number of MADE's elements."""
    nodes = [
        helper.make_node("Add", ["X", "X"], ["Y"]),
        helper.make_node("Cast", ["MADE"], ["M"], to=1),
        helper.make_node("ReduceSum", ["M"], ["sum"], keepdims=0),
        helper.make_node("Size", ["MADE"], ["count"]),
        helper.make_node("Cast", ["count"], ["size"], to=1),
        helper.make_node("Unsqueeze", ["sum", "zero"], ["sums"]),
        helper.make_node("Unsqueeze", ["size", "zero"], ["sizes"]),
        helper.make_node("Concat", ["sums", "sizes"], ["both"], axis=0),
        helper.make_node("Mul", ["FIXED", "null"], ["rows"]),
        helper.make_node("Add", ["rows", "both"], ["TOLD"]),
    ]
    return models.graph(
        nodes,
        [("X", "FP32", ["n"]), ("MADE", "INT32", shape), ("FIXED", "FP32", ["batch", 2])],
        [("Y", "FP32", ["n"]), ("TOLD", "FP32", ["batch", 2])],
        {"zero": np.array([0], np.int64), "null": np.float32(0)},
    )


@pytest.mark.parametrize("kind", RAGGED_KINDS)
def test_every_kind_of_batch_input(models, tmp_path, kind):
    """The model gets the elements end to end and what describes them; each request gets its own part of the output back."""
    shape = ["batch", 1] if kind == "BATCH_ITEM_SHAPE" else ["described"]
    config = ragged_config(kind, "onnxruntime")
    write_model(tmp_path, config, {"1/model.onnx": describing(models, shape).SerializeToString()})
    config.default_model_filename = "model.onnx"
    with Bench(OnnxBackend, config, tmp_path / "m") as bench:
        assert_ragged_batch(bench, kind)


def test_open_configuration_is_completed_around_what_the_server_makes(models, repository, serve):
    """An input that the server makes is none that clients give, also where the configuration leaves the inputs open."""
    config = """
        max_batch_size: 4
        input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }, { name: "FIXED" } ]
        batch_input [ { kind: BATCH_ELEMENT_COUNT target_name: "MADE" data_type: TYPE_INT32 source_input: "X" } ]
        batch_output [ { target_name: "Y" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "X" } ]
        output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] }, { name: "TOLD" } ]
    """
    server = serve(repository(describing(models, ["described"]), config))
    model = server.model("m")
    response = model.infer({"X": [[1, 2, 3]], "FIXED": [[0, 0]]})
    assert response["Y"].tolist() == [[2, 4, 6]]
    assert response["TOLD"].tolist() == [[3, 1]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda config: config.batch_input[0].ClearField("target_name"), "add 'MADE' to the configuration's input"),
        (lambda config: config.batch_input[0].target_name.append("OTHER"), "unexpected inference input 'OTHER'"),
        (
            lambda config: config.input[1].MergeFrom(type(config.input[1])(allow_ragged_batch=True)),
            "a ragged input has one dimension",
        ),
    ],
)
def test_configuration_that_does_not_fit(models, tmp_path, change, reason):
    """A ragged input must have one dimension in the graph, and what the server makes must be inputs of it."""
    config = ragged_config("BATCH_ELEMENT_COUNT", "onnxruntime")
    change(config)
    write_model(tmp_path, config, {"1/model.onnx": describing(models, ["described"]).SerializeToString()})
    config.default_model_filename = "model.onnx"
    with pytest.raises(Exception, match=reason), Bench(OnnxBackend, config, tmp_path / "m"):
        pass

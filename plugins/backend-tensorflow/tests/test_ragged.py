"""TensorFlow's models that take ragged batches: all elements end to end, with what describes them."""

from __future__ import annotations

import pytest
import tensorflow as tf
from charonia.testing.backend_bench import Bench
from charonia.testing.builders import write_model
from charonia.testing.ragged_suite import RAGGED_KINDS, assert_ragged_batch, ragged_config
from charonia_backend_tensorflow.backend import TensorFlowBackend

v1 = tf.compat.v1


def build(kind):
    """Build a graph that doubles X, and tells the sum and the number of MADE's elements in each row of FIXED."""
    x = v1.placeholder(tf.float32, [None], name="X")
    fixed = v1.placeholder(tf.float32, [None, 2], name="FIXED")
    made = v1.placeholder(tf.int32, [None, 1] if kind == "BATCH_ITEM_SHAPE" else [None], name="MADE")
    told = tf.cast(tf.stack([tf.reduce_sum(made), tf.size(made)]), tf.float32)
    inputs = {"X": x, "FIXED": fixed, "MADE": made}
    return inputs, {"Y": tf.add(x, x, name="Y"), "TOLD": tf.add(0 * fixed, told, name="TOLD")}


@pytest.mark.parametrize("kind", RAGGED_KINDS)
@pytest.mark.parametrize("file", ["model.savedmodel", "model.graphdef"])
def test_every_kind_of_batch_input(tmp_path, file, kind):
    """The model gets the elements end to end and what describes them; each request gets its own part of the output back."""
    config = ragged_config(kind, "tensorflow")
    config.default_model_filename = file
    version = write_model(tmp_path, config) / "1"
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        inputs, outputs = build(kind)
        if file == "model.savedmodel":
            v1.saved_model.simple_save(session, str(version / file), inputs, outputs)
        else:
            (version / file).write_bytes(graph.as_graph_def().SerializeToString())
    with Bench(TensorFlowBackend, config, tmp_path / "m") as bench:
        assert_ragged_batch(bench, kind)

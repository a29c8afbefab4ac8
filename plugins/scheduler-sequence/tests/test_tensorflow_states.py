"""States of TensorFlow's models: inputs and outputs of a signature, or of a graph, that clients do not know."""

from __future__ import annotations

import pytest
import tensorflow as tf
from charonia.config import ModelConfig
from charonia.testing.builders import write_model
from google.protobuf import text_format

SECTION = """
    max_sequence_idle_microseconds: 60000000
    control_input { name: "FIRST" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
    state { input_name: "TOTAL" output_name: "NEW_TOTAL" data_type: TYPE_FP32 dims: [ 1 ]
            initial_state { name: "i" data_type: TYPE_FP32 dims: [ 1 ] zero_data: true } }
    state { input_name: "WORD_BEFORE" output_name: "NEW_WORD" data_type: TYPE_STRING dims: [ 1 ] }
"""
TENSORS = """
    input { name: "X" data_type: TYPE_FP32 dims: [ 1 ] } input { name: "WORD" data_type: TYPE_STRING dims: [ 1 ] }
    output { name: "SUM" data_type: TYPE_FP32 dims: [ 1 ] } output { name: "BEFORE" data_type: TYPE_STRING dims: [ 1 ] }
"""


def build(lead):
    """Build a graph that adds up X, tells what WORD was the last time, and adds a thousand where a sequence starts."""
    v1 = tf.compat.v1
    numbers = {name: v1.placeholder(tf.float32, [*lead, 1], name=name) for name in ("X", "FIRST", "TOTAL")}
    words = {name: v1.placeholder(tf.string, [*lead, 1], name=name) for name in ("WORD", "WORD_BEFORE")}
    total = tf.add(numbers["X"], numbers["TOTAL"], name="NEW_TOTAL")
    outputs = {
        "NEW_TOTAL": total,
        "SUM": tf.add(total, 1000 * numbers["FIRST"], name="SUM"),
        "NEW_WORD": tf.identity(words["WORD"], name="NEW_WORD"),
        "BEFORE": tf.identity(words["WORD_BEFORE"], name="BEFORE"),
    }
    return {**numbers, **words}, outputs


def save(directory, platform, lead):
    """Save the graph, as a SavedModel or as a GraphDef."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        inputs, outputs = build(lead)
        if platform == "tensorflow_savedmodel":
            tf.compat.v1.saved_model.simple_save(session, str(directory / "model.savedmodel"), inputs, outputs)
        else:
            (directory / "model.graphdef").write_bytes(graph.as_graph_def().SerializeToString())


@pytest.mark.parametrize("platform", ["tensorflow_savedmodel", "tensorflow_graphdef"])
@pytest.mark.parametrize("batches", [True, False], ids=["batches", "single"])
@pytest.mark.parametrize("way", ["oldest { max_candidate_sequences: 4 }", "direct {}"], ids=["oldest", "direct"])
def test_states(model_repository, server, play_sums, platform, batches, way):
    """Two sequences side by side have their own numbers and words, which no client gives or gets."""
    config = ModelConfig(name="sums", platform=platform, max_batch_size=4 if batches else 0)
    text_format.Parse(SECTION + way, config.sequence_batching)
    if platform == "tensorflow_graphdef":  # a SavedModel tells its inputs and outputs, and so is completed
        text_format.Merge(TENSORS, config)
    directory = write_model(model_repository, config)
    save(directory / "1", platform, [None] if batches else [])
    model = server(model_repository).model("sums")
    assert {tensor.name for tensor in model.metadata().inputs} == {"X", "WORD"}
    assert {tensor.name for tensor in model.metadata().outputs} == {"SUM", "BEFORE"}
    play_sums(model, batches=batches)


@pytest.mark.parametrize("platform", ["tensorflow_savedmodel", "tensorflow_graphdef"])
def test_unknown_state(model_repository, server, platform):
    """A state that the model does not have fails the load, and the error tells what it could be."""
    config = ModelConfig(name="sums", platform=platform)
    text_format.Parse(TENSORS, config)
    text_format.Parse(SECTION.replace('"NEW_TOTAL"', '"NEW_TOTL"'), config.sequence_batching)
    directory = write_model(model_repository, config)
    save(directory / "1", platform, [])
    with pytest.raises(Exception, match=r"unexpected inference output 'NEW_TOTL'.*did you mean 'NEW_TOTAL'"):
        server(model_repository)

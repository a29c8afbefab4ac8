"""The small nets in the two forms of TensorFlow."""

from __future__ import annotations

import tensorflow as tf
from small_nets import Convolution, Flatten


def write_saved_model(net, directory):
    """Write a net as a SavedModel into a model's directory. It needs no configuration."""
    module = tf.Module()
    module.weights = [_kept(layer, tf.Variable) for layer in net.layers]
    module.answer = tf.function(
        lambda x: {"Y": _answer(net, module.weights, x)},
        input_signature=[tf.TensorSpec([None, *net.input_shape], tf.float32, "X")],
    )
    tf.saved_model.save(module, str(directory / "1" / "model.savedmodel"), signatures=module.answer)


def write_graph_def(net, directory):
    """Write a net as a frozen graph into a model's directory, with its configuration, since the graph names no inputs and outputs."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, *net.input_shape], name="X")
        tf.identity(_answer(net, [_kept(layer, tf.constant) for layer in net.layers], x), name="Y")
    (directory / "1").mkdir(parents=True)
    (directory / "1" / "model.graphdef").write_bytes(graph.as_graph_def().SerializeToString())
    (directory / "config.pbtxt").write_text(f"""
        backend: "tensorflow" max_batch_size: 4
        input [ {{ name: "X" data_type: TYPE_FP32 dims: {list(net.input_shape)} }} ]
        output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ {net.outputs} ] }} ]""")


def _kept(layer, keep):
    """Keep a layer's weights as TensorFlow wants them: kernels are [height, width, in, out] there."""
    if isinstance(layer, Flatten):
        return []
    weights = layer.kernels.transpose(2, 3, 1, 0) if isinstance(layer, Convolution) else layer.weights
    return [keep(weights), keep(layer.bias)]


def _answer(net, kept, x):
    for layer, weights in zip(net.layers, kept, strict=True):
        x = _apply(layer, weights, x)
    return x


def _apply(layer, weights, x):
    if isinstance(layer, Flatten):
        return tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])
    if isinstance(layer, Convolution):
        images = tf.transpose(x, [0, 2, 3, 1])  # on the CPU TensorFlow has channels at the end only
        made = tf.nn.relu(tf.nn.conv2d(images, weights[0], 1, "VALID") + weights[1])
        return tf.transpose(made, [0, 3, 1, 2])
    made = x @ weights[0] + weights[1]
    return made if layer.last else tf.nn.relu(made)

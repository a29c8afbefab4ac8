"""The small nets in ONNX."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper
from small_nets import Convolution, Dense


def write_onnx(net, directory):
    """Write a net into a model's directory. It needs no configuration."""
    nodes, weights = [], []
    before = "X"
    for index, layer in enumerate(net.layers):
        after = "Y" if index == len(net.layers) - 1 else f"after{index}"
        made, kept = _nodes(layer, index, before, after)
        nodes += made
        weights += kept
        before = after
    graph = helper.make_graph(
        nodes,
        net.name,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["batch", *net.input_shape])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["batch", net.outputs])],
        weights,
    )
    (directory / "1").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, directory / "1" / "model.onnx")


def _nodes(layer, index, before, after):
    """Give the nodes of a layer and its weights."""
    if isinstance(layer, Convolution):
        operator, weights = "Conv", layer.kernels
    elif isinstance(layer, Dense):
        operator, weights = "Gemm", layer.weights
    else:
        return [helper.make_node("Flatten", [before], [after])], []
    names = [f"weights{index}", f"bias{index}"]
    kept = [numpy_helper.from_array(array, name) for array, name in zip((weights, layer.bias), names, strict=True)]
    if isinstance(layer, Dense) and layer.last:
        return [helper.make_node(operator, [before, *names], [after])], kept
    inside = f"inside{index}"
    return [
        helper.make_node(operator, [before, *names], [inside]),
        helper.make_node("Relu", [inside], [after]),
    ], kept

"""ONNX models, made here, and servers around them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ELEMENT = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
    "BF16": TensorProto.BFLOAT16,
}


class OnnxModels:
    """Makes models of a few nodes. Tensors are (name, datatype, shape)."""

    def graph(self, nodes, inputs, outputs, initializers=None, *, opset=17, ir_version=9):
        """Make a model; `initializers` are arrays by name."""
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info(name, ELEMENT[datatype], shape) for name, datatype, shape in inputs],
            [helper.make_tensor_value_info(name, ELEMENT[datatype], shape) for name, datatype, shape in outputs],
            initializer=[numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)

    def identity(self, datatype="FP32", shape=("batch", 3), **versions):
        """Make a model whose Y is its X."""
        node = helper.make_node("Identity", ["X"], ["Y"])
        return self.graph([node], [("X", datatype, shape)], [("Y", datatype, shape)], **versions)

    def perceptron(self):
        """Make a linear layer with a ReLU, and give its weights and the model."""
        weights = np.arange(12, dtype=np.float32).reshape(3, 4) - 6
        nodes = [helper.make_node("MatMul", ["X", "W"], ["H"]), helper.make_node("Relu", ["H"], ["Y"])]
        model = self.graph(nodes, [("X", "FP32", ["batch", 3])], [("Y", "FP32", ["batch", 4])], {"W": weights})
        return weights, model

    def halving(self):
        """Make a model that fails when its X has an odd number of elements."""
        node = helper.make_node("Reshape", ["X", "S"], ["Y"])
        return self.graph([node], [("X", "FP32", ["n"])], [("Y", "FP32", [2, "m"])], {"S": np.array([2, -1])})


@pytest.fixture
def models():
    return OnnxModels()


@pytest.fixture
def repository(tmp_path):
    """Write a model, and perhaps its configuration, into the repository, and give the repository."""

    def write(model, config=None, name="m", version=1):
        folder = tmp_path / name / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(model, bytes):
            (folder / "model.onnx").write_bytes(model)
        elif model is not None:
            onnx.save(model, folder / "model.onnx")
        if config is not None:
            (tmp_path / name / "config.pbtxt").write_text(config)
        return tmp_path

    return write


@pytest.fixture
def full_config():
    """Write a complete configuration for the identity model."""

    def write(*, name="X", data_type="TYPE_FP32", dims="[ 3 ]", batch=4, more=""):
        return (
            f'max_batch_size: {batch} input [ {{ name: "{name}" data_type: {data_type} dims: {dims} }} ] '
            f'output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 3 ] }} ] {more}'
        )

    return write

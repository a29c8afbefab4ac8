"""ONNX models, real plans that are made of them without a GPU, and servers around them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from charonia_backend_tensorrt.build import BuildOptions, build
from charonia_backend_tensorrt.library import Library
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4) - 6
AMPERE = BuildOptions(capabilities=["8.6"])


class OnnxModels:
    """Makes models of a few nodes, and gives their files. Tensors are (name, element type, shape).

    Args:
        folder: where the files go.
    """

    def __init__(self, folder):
        self._folder = folder
        self._count = 0

    def graph(self, nodes, inputs, outputs, initializers=None):
        """Write a model; `initializers` are arrays by name."""
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info(*tensor) for tensor in inputs],
            [helper.make_tensor_value_info(*tensor) for tensor in outputs],
            [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
        )
        self._count += 1
        path = self._folder / f"{self._count}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return path

    def perceptron(self):
        """Write Y = max(X WEIGHTS, 0), in batches."""
        nodes = [helper.make_node("MatMul", ["X", "W"], ["H"]), helper.make_node("Relu", ["H"], ["Y"])]
        float32 = TensorProto.FLOAT
        return self.graph(nodes, [("X", float32, ["n", 3])], [("Y", float32, ["n", 4])], {"W": WEIGHTS})

    def reshape(self):
        """Write Y = X in the shape of the two numbers S."""
        node = helper.make_node("Reshape", ["X", "S"], ["Y"])
        inputs = [("X", TensorProto.FLOAT, ["n"]), ("S", TensorProto.INT64, [2])]
        return self.graph([node], inputs, [("Y", TensorProto.FLOAT, ["a", "b"])])

    def boxes(self):
        """Write Y = those of the boxes B with the scores S that do not overlap; their number depends on the data."""
        node = helper.make_node("NonMaxSuppression", ["B", "S", "most", "overlap"], ["Y"])
        inputs = [("B", TensorProto.FLOAT, [1, "n", 4]), ("S", TensorProto.FLOAT, [1, 1, "n"])]
        limits = {"most": np.array([10]), "overlap": np.array([0.5], np.float32)}
        return self.graph([node], inputs, [("Y", TensorProto.INT64, ["m", 3])], limits)


@pytest.fixture
def models(tmp_path):
    return OnnxModels(tmp_path)


@pytest.fixture
def plan(models):
    """Make a real plan of the perceptron, which needs a GPU only to run."""
    return build(Library.RTX, models.perceptron(), AMPERE)


@pytest.fixture
def repository(tmp_path):
    """Write a plan, and perhaps its configuration, into the repository, and give the repository."""

    def write(plan, config="", file="model.plan"):
        folder = tmp_path / "models" / "m" / "1"
        folder.mkdir(parents=True, exist_ok=True)
        if plan is not None:
            (folder / file).write_bytes(plan)
        (folder.parent / "config.pbtxt").write_text(f'platform: "tensorrt_plan" {config}')
        return tmp_path / "models"

    return write

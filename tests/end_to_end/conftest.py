"""Identity models in ONNX, for the tests of several distributions together."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

ELEMENTS = {
    "BOOL": onnx.TensorProto.BOOL,
    "UINT8": onnx.TensorProto.UINT8,
    "UINT16": onnx.TensorProto.UINT16,
    "UINT32": onnx.TensorProto.UINT32,
    "UINT64": onnx.TensorProto.UINT64,
    "INT8": onnx.TensorProto.INT8,
    "INT16": onnx.TensorProto.INT16,
    "INT32": onnx.TensorProto.INT32,
    "INT64": onnx.TensorProto.INT64,
    "FP16": onnx.TensorProto.FLOAT16,
    "FP32": onnx.TensorProto.FLOAT,
    "FP64": onnx.TensorProto.DOUBLE,
    "BYTES": onnx.TensorProto.STRING,
    "BF16": onnx.TensorProto.BFLOAT16,
}


@pytest.fixture(scope="session")
def save_identity():
    """Write an identity model, which takes and gives any number of rows of three, into a repository; it has no configuration."""

    def save(repository, name, datatype="FP32"):
        x, y = (helper.make_tensor_value_info(tensor, ELEMENTS[datatype], ["batch", 3]) for tensor in "XY")
        graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "g", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (repository / name / "1").mkdir(parents=True)
        onnx.save(model, repository / name / "1" / "model.onnx")

    return save

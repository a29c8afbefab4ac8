"""The models that are measured, as files: ONNX for Charonia, the same mathematics in numpy for the reference.

The reference's build has no ONNX Runtime, so that its models are Python models.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto

__all__ = [
    "INPUT",
    "MODELS",
    "ONE_THREAD",
    "OUTPUT",
    "OWN_THREAD",
    "BenchmarkModel",
    "onnx_model",
    "write_onnx_repository",
    "write_reference_repository",
]

INPUT = "INPUT0"
OUTPUT = "OUTPUT0"
_SEED = 20
_OPSET = 17
_LARGE = 65_536
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class BenchmarkModel:
    """A model with one input and one output, of which a request carries one row.

    Attributes:
        name: the model's name.
        widths: how many values enter and leave each layer. A single number means the identity.
        datatype: that of the values: FP32, or BYTES for the identity.
    """

    name: str
    widths: tuple[int, ...]
    datatype: Literal["FP32", "BYTES"] = "FP32"

    @property
    def inputs(self) -> int:
        """The values in a row of the input."""
        return self.widths[0]

    @property
    def outputs(self) -> int:
        """The values in a row of the output."""
        return self.widths[-1]

    @property
    def large(self) -> bool:
        """Whether a request is more than a few packets of the network: its cost is in moving its bytes."""
        return len(self.row_bytes()) > _LARGE

    @property
    def answer_size(self) -> int:
        """The bytes of a row of the output, as it travels."""
        return self.outputs * _FLOAT_BYTES if self.datatype == "FP32" else len(self.row_bytes())

    def row(self) -> np.ndarray:
        """Make what a request carries, of shape [1, inputs]: numbers, or strings of 12 bytes."""
        if self.datatype == "FP32":
            return np.linspace(-1, 1, self.inputs, dtype=np.float32).reshape(1, -1)
        return np.array([[b"string %05d" % number for number in range(self.inputs)]], np.object_)

    def text_row(self) -> np.ndarray:
        """Make the same as ONNX Runtime takes it, whose strings are text."""
        row = self.row()
        if self.datatype == "FP32":
            return row
        return np.array([[value.decode() for value in row[0]]], np.object_)

    def row_bytes(self) -> bytes:
        """Make the same as it travels."""
        row = self.row()
        if self.datatype == "FP32":
            return row.tobytes()
        return b"".join(len(value).to_bytes(4, "little") + value for value in row[0])

    @property
    def config_type(self) -> str:
        """The datatype's name in configurations."""
        return "TYPE_STRING" if self.datatype == "BYTES" else "TYPE_FP32"

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Make the layers' matrices (inputs by outputs) and biases; the same ones each time."""
        generator = np.random.default_rng(_SEED)
        return [
            (
                (generator.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32),
                generator.standard_normal(columns).astype(np.float32),
            )
            for rows, columns in itertools.pairwise(self.widths)
        ]

    def config(self, backend: str, more: str = "") -> str:
        """Write the configuration: one instance on the CPU, and no batching of requests."""
        return (
            f'name: "{self.name}"\nbackend: "{backend}"\nmax_batch_size: 8\n'
            f'input [ {{ name: "{INPUT}" data_type: {self.config_type} dims: [ {self.inputs} ] }} ]\n'
            f'output [ {{ name: "{OUTPUT}" data_type: {self.config_type} dims: [ {self.outputs} ] }} ]\n'
            f"instance_group [ {{ kind: KIND_CPU count: 1 }} ]\n{more}"
        )


MODELS = {
    model.name: model
    for model in (
        BenchmarkModel("identity", (16,)),
        BenchmarkModel("mlp", (64, 256, 256, 10)),
        BenchmarkModel("identity-1MiB", (262_144,)),
        BenchmarkModel("identity-strings", (10_000,), "BYTES"),
    )
}
"""All models by name."""

ONE_THREAD = 'parameters { key: "intra_op_thread_count" value: { string_value: "1" } }\n'
OWN_THREAD = 'parameters { key: "NEVER_WAITS" value: { string_value: "0" } }\n'

_PYTHON_IDENTITY = f"""\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "{INPUT}").as_numpy()) for request in requests]

    def answer(self, rows):
        return pb_utils.InferenceResponse([pb_utils.Tensor("{OUTPUT}", rows)])
"""

_PYTHON_MLP = f"""\
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        with np.load(Path(__file__).with_name("weights.npz")) as stored:
            self.layers = [(stored[f"matrix{{i}}"], stored[f"bias{{i}}"]) for i in range(len(stored.files) // 2)]

    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "{INPUT}").as_numpy()) for request in requests]

    def answer(self, rows):
        for matrix, bias in self.layers[:-1]:
            rows = np.maximum(rows @ matrix + bias, 0)
        matrix, bias = self.layers[-1]
        return pb_utils.InferenceResponse([pb_utils.Tensor("{OUTPUT}", rows @ matrix + bias)])
"""


def write_onnx_repository(folder: Path) -> Path:
    """Write all models as a repository for Charonia."""
    import onnx

    for model in MODELS.values():
        version = folder / model.name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(model.config("onnxruntime", ONE_THREAD))
        onnx.save(onnx_model(model), version / "model.onnx")
    return folder


def onnx_model(model: BenchmarkModel) -> ModelProto:
    """Make a model's ONNX form."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = []
    constants = []
    flow = INPUT
    layers = model.weights()
    for index, (matrix, bias) in enumerate(layers):
        constants += [numpy_helper.from_array(matrix, f"matrix{index}"), numpy_helper.from_array(bias, f"bias{index}")]
        last = index == len(layers) - 1
        result = OUTPUT if last else f"sum{index}"
        nodes.append(helper.make_node("Gemm", [flow, f"matrix{index}", f"bias{index}"], [result]))
        flow = result
        if not last:
            nodes.append(helper.make_node("Relu", [flow], [f"layer{index}"]))
            flow = f"layer{index}"
    if not nodes:
        nodes.append(helper.make_node("Identity", [INPUT], [OUTPUT]))
    datatype = TensorProto.STRING if model.datatype == "BYTES" else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        model.name,
        [helper.make_tensor_value_info(INPUT, datatype, ["rows", model.inputs])],
        [helper.make_tensor_value_info(OUTPUT, datatype, ["rows", model.outputs])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)


def write_reference_repository(folder: Path, more: str = "") -> Path:
    """Write all models as a repository for the reference, with more in their configurations if it is given."""
    for model in MODELS.values():
        version = folder / model.name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(model.config("python", more))
        layers = model.weights()
        (version / "model.py").write_text(_PYTHON_MLP if layers else _PYTHON_IDENTITY)
        if layers:
            arrays = {f"matrix{index}": matrix for index, (matrix, _) in enumerate(layers)}
            arrays |= {f"bias{index}": bias for index, (_, bias) in enumerate(layers)}
            np.savez(version / "weights.npz", allow_pickle=False, **arrays)
    return folder

"""The models of the soak. Each gives its input times a number, so that an answer that belongs to another request is seen.

A model of another kind joins by a line in `MODELS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from charonia.rate_limiter import ResourceLimit
from onnx import helper

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MODELS", "SEQUENCES", "SHARED", "SLOW", "STREAMS", "SoakModel", "write_models"]

_TENSORS = """max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]
"""
_PYTHON = """import threading

import numpy as np
import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        threading.Event().wait({seconds})
        inputs = [utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [utils.InferenceResponse([utils.Tensor("Y", values * np.float32({factor}))]) for values in inputs]
"""
_COUNTER = """import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            values = utils.get_input_tensor_by_name(request, "X").as_numpy()
            for number in range(4):
                sender.send(utils.InferenceResponse([utils.Tensor("Y", values + number)]))
            sender.send(flags=utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
_STEPS = """import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            values, made = (utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("X", "MADE"))
            last = int(made[0, 0]) == 3
            tensors = [utils.Tensor("Y", values + made), utils.Tensor("MADE_NOW", made + 1)]
            flags = utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if last else 0
            request.get_response_sender().send(utils.InferenceResponse(tensors), flags)
            if not last:
                request.set_release_flags(utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
"""
_TOTALS = """import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        self.totals = {}

    def execute(self, requests):
        return [self.add(request) for request in requests]

    def add(self, request):
        values, start, end, number = (
            utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("X", "START", "END", "ID")
        )
        total = values + (0 if start[0, 0] else self.totals[int(number[0, 0])])
        self.totals[int(number[0, 0])] = total
        if end[0, 0]:
            del self.totals[int(number[0, 0])]
        return utils.InferenceResponse([utils.Tensor("Y", total)])
"""
_DECOUPLED = 'backend: "python"\nmodel_transaction_policy { decoupled: true }\n'
_IN_TURNS = """sequence_batching {
  iterative_sequence: true
  oldest { max_candidate_sequences: 4 }
  state [ { input_name: "MADE" output_name: "MADE_NOW" data_type: TYPE_FP32 dims: [ 1 ] } ]
}
"""
_OLDEST = """backend: "python"
sequence_batching {
  max_sequence_idle_microseconds: 10000000
  oldest { max_candidate_sequences: 64 max_queue_delay_microseconds: 100 }
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } ] },
    { name: "ID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
}
"""
_DIRECT = """backend: "onnxruntime"
output [ { name: "TOTAL" data_type: TYPE_FP32 dims: [ 3 ] } ]
instance_group [ { count: 2 } ]
sequence_batching {
  max_sequence_idle_microseconds: 10000000
  direct { }
  state [ { input_name: "SO_FAR" output_name: "TOTAL" data_type: TYPE_FP32 dims: [ 3 ] } ]
}
"""


@dataclass(frozen=True)
class SoakModel:
    """A model.

    Attributes:
        factor: what it multiplies by.
        config: what its configuration says beside its tensors.
        seconds: how long an execution waits; only for those in Python.
        onnx: whether it is in ONNX; else it is in Python, unless it is a graph of others.
        goes: whether it is unloaded at times, and not only loaded anew.
    """

    factor: int
    config: str = ""
    seconds: float = 0.0
    onnx: bool = False
    goes: bool = False


def _chain(*models: str) -> str:
    """Configure a graph in which each model takes what the one before it gives."""
    tensors = ["X", *(f"t{number}" for number in range(1, len(models))), "Y"]
    steps = "".join(
        f'step {{ model_name: "{model}" model_version: -1 input_map {{ key: "X" value: "{source}" }} '
        f'output_map {{ key: "Y" value: "{target}" }} }}\n'
        for model, source, target in zip(models, tensors, tensors[1:], strict=False)
    )
    return f'platform: "ensemble"\nensemble_scheduling {{ {steps} }}\n'


SHARED = ResourceLimit("cores", 3)
"""What some of the models take before they execute; one of them needs all of it."""
_MERGED = """dynamic_batching {
  max_queue_delay_microseconds: 300
  default_queue_policy { default_timeout_microseconds: 60000000 allow_timeout_override: true }
}
"""


def _sharing(instances: int, need: int) -> str:
    """Let instances execute only while they hold so much of what the models share."""
    resources = f'resources [ {{ name: "{SHARED.name}" count: {need} global: true }} ]'
    return f"instance_group [ {{ count: {instances} rate_limiter {{ {resources} }} }} ]"


SLOW = "slow"
STREAMS = ("counter", "steps")
"""Models that give what they get, and then one, two and three more: at once, or a number in each turn."""
SEQUENCES = ("totals", "states")
"""Models that add up what a sequence brings: one in Python by the sequence's id, and a net by a state that the server keeps."""
MODELS = {
    "net": SoakModel(2, _sharing(2, 1), onnx=True),
    "script": SoakModel(3, _sharing(1, 3)),
    "cached": SoakModel(5, "response_cache { enable: true }"),
    "merged_net": SoakModel(7, _MERGED, onnx=True),
    "merged_script": SoakModel(11, _MERGED + _sharing(2, 1), seconds=0.001),
    "chain": SoakModel(6, _chain("net", "script"), goes=True),
    "chain_of_chains": SoakModel(6 * 5 * 7, _chain("chain", "cached", "merged_net"), goes=True),
    SLOW: SoakModel(13, seconds=0.02, goes=True),
}


def write_models(repository: Path) -> None:
    """Write all models into a repository."""
    for name, model in MODELS.items():
        _write(repository / name, model)
    scripts = {
        "counter": (_DECOUPLED, _COUNTER),
        "steps": (_DECOUPLED + _IN_TURNS, _STEPS),
        "totals": (_OLDEST, _TOTALS),
        "states": (_DIRECT, None),
    }
    for name, (config, source) in scripts.items():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(_TENSORS + config)
        if source is not None:
            (repository / name / "1" / "model.py").write_text(source)
    onnx.save(_adding_net(), repository / "states" / "1" / "model.onnx")


def _write(folder: Path, model: SoakModel) -> None:
    (folder / "1").mkdir(parents=True)
    backend = "onnxruntime" if model.onnx else "python"
    graph = "platform" in model.config
    (folder / "config.pbtxt").write_text(_TENSORS + model.config + ("" if graph else f'\nbackend: "{backend}"\n'))
    if model.onnx:
        onnx.save(_net(model.factor), folder / "1" / "model.onnx")
    elif not graph:
        (folder / "1" / "model.py").write_text(_PYTHON.format(factor=model.factor, seconds=model.seconds))


def _rows(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3])


def _adding_net() -> onnx.ModelProto:
    nodes = [helper.make_node("Add", ["X", "SO_FAR"], ["Y"]), helper.make_node("Identity", ["Y"], ["TOTAL"])]
    graph = helper.make_graph(nodes, "g", [_rows("X"), _rows("SO_FAR")], [_rows("Y"), _rows("TOTAL")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _net(factor: int) -> onnx.ModelProto:
    number = helper.make_tensor("factor", onnx.TensorProto.FLOAT, [], [float(factor)])
    node = helper.make_node("Mul", ["X", "factor"], ["Y"])
    graph = helper.make_graph([node], "g", [_rows("X")], [_rows("Y")], [number])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

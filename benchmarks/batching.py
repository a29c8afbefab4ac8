"""What dynamic batching gains: requests a second of a model with it, beside the same model without, in process."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.models import INPUT, MODELS, ONE_THREAD, OUTPUT, onnx_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from charonia import Server
    from onnx import ModelProto

__all__ = ["BatchingGain", "measure_batching"]

_MLP = "mlp"
_CNN = "cnn"
_SHAPES = {_MLP: (MODELS[_MLP].inputs,), _CNN: (3, 32, 32)}
_CHANNELS = (3, 16, 32)
_CLASSES = 10
_OPSET = 17
_MOST = 64
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class BatchingGain:
    """The medians over the rounds.

    Attributes:
        model: the model.
        clients: how many requests are in progress at once.
        alone_per_second: requests a second where each is executed by itself.
        together_per_second: requests a second with dynamic batching.
        gain: the one divided by the other within a round.
    """

    model: str
    clients: int
    alone_per_second: float
    together_per_second: float
    gain: float


def measure_batching(folder: Path, clients: Sequence[int], rounds: int, calls: int) -> list[BatchingGain]:
    """Ask both forms of each model in turns.

    Args:
        folder: where the models are written; not there yet.
        clients: the numbers of requests that are in progress at once.
        rounds: how often the two forms take turns.
        calls: the requests of a turn.
    """
    from charonia import Server

    with Server(_write(folder)) as server:
        return [_compare(server, model, count, rounds, max(calls, 4 * count)) for model in _SHAPES for count in clients]


def _compare(server: Server, model: str, clients: int, rounds: int, calls: int) -> BatchingGain:
    pairs = []
    for number in range(rounds + 1):
        pair = (
            _requests_per_second(server, f"{model}_alone", model, clients, calls),
            _requests_per_second(server, f"{model}_together", model, clients, calls),
        )
        if number:  # the first round warms up
            pairs.append(pair)
    return BatchingGain(
        model,
        clients,
        alone_per_second=statistics.median(alone for alone, _ in pairs),
        together_per_second=statistics.median(together for _, together in pairs),
        gain=statistics.median(together / alone for alone, together in pairs),
    )


def _requests_per_second(server: Server, name: str, model: str, clients: int, calls: int) -> float:
    """Keep so many requests in progress, each answer being followed by the next request, until there are `calls` answers."""
    from charonia.request import InferenceRequest, InferenceResponse

    inputs = {INPUT: np.linspace(-1, 1, int(np.prod(_SHAPES[model])), dtype=np.float32).reshape(1, *_SHAPES[model])}
    lock = threading.Lock()
    left = [calls, calls]  # to be sent, to be answered
    done = threading.Event()

    def send() -> None:
        with lock:
            if left[0] == 0:
                return
            left[0] -= 1
        server.submit(InferenceRequest(name, inputs, take))

    def take(response: InferenceResponse) -> None:
        if response.error is not None:
            raise response.error
        with lock:
            left[1] -= 1
            if left[1] == 0:
                done.set()
        send()

    begun = time.perf_counter()
    for _ in range(clients):
        send()
    if not done.wait(_PATIENCE_SECONDS):
        raise TimeoutError(f"model '{name}' has answered {calls - left[1]} of {calls} requests")
    return calls / (time.perf_counter() - begun)


def _write(folder: Path) -> Path:
    """Write each model twice, with and without dynamic batching."""
    import onnx

    files = {_MLP: onnx_model(MODELS[_MLP]), _CNN: _convolutions()}
    for model, shape in _SHAPES.items():
        for name, section in ((f"{model}_alone", ""), (f"{model}_together", "dynamic_batching { }\n")):
            version = folder / name / "1"
            version.mkdir(parents=True)
            (version.parent / "config.pbtxt").write_text(
                f'backend: "onnxruntime"\nmax_batch_size: {_MOST}\n'
                f'input [ {{ name: "{INPUT}" data_type: TYPE_FP32 dims: [ {", ".join(map(str, shape))} ] }} ]\n'
                f'output [ {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ {_CLASSES} ] }} ]\n'
                f"instance_group [ {{ kind: KIND_CPU count: 1 }} ]\n{ONE_THREAD}{section}"
            )
            onnx.save(files[model], version / "model.onnx")
    return folder


def _convolutions() -> ModelProto:
    """Make two convolutions with strides, the mean over the picture, and a linear layer."""
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    nodes, constants, flow = [], [], INPUT
    for index, (before, after) in enumerate(itertools.pairwise(_CHANNELS)):
        kernel = (generator.standard_normal((after, before, 3, 3)) / 10).astype(np.float32)
        constants.append(numpy_helper.from_array(kernel, f"kernel{index}"))
        nodes.append(
            helper.make_node("Conv", [flow, f"kernel{index}"], [f"sum{index}"], strides=[2, 2], pads=[1, 1, 1, 1])
        )
        flow = f"layer{index}"
        nodes.append(helper.make_node("Relu", [f"sum{index}"], [flow]))
    matrix = generator.standard_normal((_CHANNELS[-1], _CLASSES)).astype(np.float32)
    constants.append(numpy_helper.from_array(matrix, "matrix"))
    nodes += [
        helper.make_node("GlobalAveragePool", [flow], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        _CNN,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", *_SHAPES[_CNN]])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", _CLASSES])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)

"""What a turn of an iterative sequence costs in process: models that write step by step, alone and many requests at once."""

from __future__ import annotations

import queue
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from charonia import Server

__all__ = ["TurnCost", "measure_turns"]

_PATIENCE_SECONDS = 120
_CONFIG = """backend: "python"
max_batch_size: MOST
input [ { name: "TURNS" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "TOKEN" data_type: TYPE_INT32 dims: [ 1 ] } ]
model_transaction_policy { decoupled: true }
sequence_batching {
  iterative_sequence: true
  oldest { max_candidate_sequences: MOST }
  state [ { input_name: "MADE" output_name: "MADE_NOW" data_type: TYPE_INT32 dims: [ 1 ] } ]
}
"""
_SOURCE = """import triton_python_backend_utils as pb_utils

AGAIN = pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            turns, made = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("TURNS", "MADE"))
            token = made + 1
            ends = token.item() == turns.item()
            response = pb_utils.InferenceResponse([pb_utils.Tensor("TOKEN", token), pb_utils.Tensor("MADE_NOW", token)])
            request.get_response_sender().send(response, FINAL if ends else 0)
            if not ends:
                request.set_release_flags(AGAIN)
"""


@dataclass(frozen=True)
class TurnCost:
    """The medians over the rounds, in microseconds.

    Attributes:
        requests: how many requests are written together.
        turn_us: a turn of all of them.
        part_us: a request's part of it.
    """

    requests: int
    turn_us: float
    part_us: float


def measure_turns(folder: Path, requests: Sequence[int], rounds: int, turns: int) -> list[TurnCost]:
    """Have a model in Python answer each request in so many turns, with a response and a state in each.

    Args:
        folder: where the model is written; not there yet.
        requests: the numbers of requests that are written together.
        rounds: how often everything is measured.
        turns: the turns of a request.
    """
    from charonia import Server

    version = folder / "turns" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(_CONFIG.replace("MOST", str(max(requests))))
    (version / "model.py").write_text(_SOURCE)
    with Server(folder) as server:
        return [_measure(server, count, rounds, turns) for count in requests]


def _measure(server: Server, count: int, rounds: int, turns: int) -> TurnCost:
    _turn_us(server, count, turns)  # warms up
    turn_us = statistics.median(_turn_us(server, count, turns) for _ in range(rounds))
    return TurnCost(count, turn_us, turn_us / count)


def _turn_us(server: Server, count: int, turns: int) -> float:
    """Time requests that come at once until all have their last response."""
    from charonia.request import InferenceRequest, InferenceResponse

    ends: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()

    def take(response: InferenceResponse) -> None:
        if response.final:
            ends.put(response)

    inputs = {"TURNS": np.full((1, 1), turns, np.int32)}
    begun = time.perf_counter()
    for _ in range(count):
        server.submit(InferenceRequest("turns", inputs, take))
    for _ in range(count):
        error = ends.get(timeout=_PATIENCE_SECONDS).error
        if error is not None:
            raise error
    return (time.perf_counter() - begun) / turns * 1e6

"""What the direct path costs: a model asked through `server.model(...).infer`, beside ONNX Runtime called as it is."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.models import INPUT, MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["CallCost", "measure_in_process", "time_calls"]

_WARM_UP_CALLS = 200


@dataclass(frozen=True)
class CallCost:
    """The medians over the rounds, in microseconds a call.

    Attributes:
        model: the model.
        bare_us: `InferenceSession.run`.
        infer_us: the server's in-process API on the same model.
        over_us: the difference of the two within a round.
    """

    model: str
    bare_us: float
    infer_us: float
    over_us: float


def measure_in_process(repository: Path, models: Sequence[str], rounds: int, calls: int) -> list[CallCost]:
    """Call both ways in turns.

    Args:
        repository: the ONNX models.
        models: the names of those that are measured.
        rounds: how often the two take turns.
        calls: the calls of a turn.
    """
    from charonia import Server

    with Server(repository) as server:
        return [_compare(repository, name, server.model(name).infer, rounds, calls) for name in models]


def _compare(
    repository: Path, name: str, infer: Callable[[dict[str, object]], object], rounds: int, calls: int
) -> CallCost:
    inputs: dict[str, object] = {INPUT: MODELS[name].row()}
    texts = {INPUT: MODELS[name].text_row()}
    run = _session(repository / name / "1" / "model.onnx").run

    def bare() -> None:
        run(None, texts)

    def served() -> None:
        infer(inputs)

    time_calls(bare, _WARM_UP_CALLS)
    time_calls(served, _WARM_UP_CALLS)
    pairs = [(time_calls(bare, calls), time_calls(served, calls)) for _ in range(rounds)]
    return CallCost(
        name,
        bare_us=statistics.median(bare_us for bare_us, _ in pairs),
        infer_us=statistics.median(served_us for _, served_us in pairs),
        over_us=statistics.median(served_us - bare_us for bare_us, served_us in pairs),
    )


def _session(path: Path) -> Any:
    """Open a model with the options that its configuration gives to the server."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def time_calls(call: Callable[[], None], calls: int) -> float:
    """Tell the microseconds of a call, the mean of many; the collector waits, as it does in timeit."""
    gc.collect()
    gc.disable()
    try:
        start_ns = time.perf_counter_ns()
        for _ in range(calls):
            call()
        return (time.perf_counter_ns() - start_ns) / calls / 1_000
    finally:
        gc.enable()

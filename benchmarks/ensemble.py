"""What an ensemble costs in process: two steps as one request, beside calls of the same two models by hand."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.in_process import time_calls
from benchmarks.models import INPUT, MODELS, OUTPUT, write_onnx_repository

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EnsembleCost", "measure_ensemble"]

_MODEL = "identity"
_WARM_UP_CALLS = 200


@dataclass(frozen=True)
class EnsembleCost:
    """The medians over the rounds, in microseconds.

    Attributes:
        one_us: one call of the model of a step.
        both_us: two such calls, the second with what the first gave.
        ensemble_us: one call of the ensemble.
        over_one_us, over_both_us: the differences to these within a round.
    """

    one_us: float
    both_us: float
    ensemble_us: float
    over_one_us: float
    over_both_us: float


def measure_ensemble(folder: Path, rounds: int, calls: int) -> EnsembleCost:
    """Serve an ensemble of two identities, and call it and its models in turns.

    Args:
        folder: where the models are written; not there yet.
        rounds: how often the calls take turns.
        calls: the calls of a turn.
    """
    from charonia import Server

    inputs: dict[str, object] = {INPUT: np.linspace(-1, 1, MODELS[_MODEL].inputs, dtype=np.float32).reshape(1, -1)}
    with Server(_write(folder)) as server:
        model, ensemble = server.model(_MODEL).infer, server.model("ensemble").infer

        def one() -> None:
            model(inputs)

        def both() -> None:
            model({INPUT: model(inputs)[OUTPUT]})

        def together() -> None:
            ensemble(inputs)

        for call in (one, both, together):
            time_calls(call, _WARM_UP_CALLS)
        turns = [(time_calls(one, calls), time_calls(both, calls), time_calls(together, calls)) for _ in range(rounds)]
    return EnsembleCost(
        one_us=statistics.median(one_us for one_us, _, _ in turns),
        both_us=statistics.median(both_us for _, both_us, _ in turns),
        ensemble_us=statistics.median(ensemble_us for _, _, ensemble_us in turns),
        over_one_us=statistics.median(ensemble_us - one_us for one_us, _, ensemble_us in turns),
        over_both_us=statistics.median(ensemble_us - both_us for _, both_us, ensemble_us in turns),
    )


def _write(folder: Path) -> Path:
    write_onnx_repository(folder)
    dims = MODELS[_MODEL].inputs
    steps = "".join(
        f'step {{ model_name: "{_MODEL}" model_version: -1 input_map {{ key: "{INPUT}" value: "{source}" }} '
        f'output_map {{ key: "{OUTPUT}" value: "{target}" }} }}\n'
        for source, target in ((INPUT, "between"), ("between", OUTPUT))
    )
    (folder / "ensemble" / "1").mkdir(parents=True)
    (folder / "ensemble" / "config.pbtxt").write_text(
        f'platform: "ensemble"\nmax_batch_size: 8\n'
        f'input [ {{ name: "{INPUT}" data_type: TYPE_FP32 dims: [ {dims} ] }} ]\n'
        f'output [ {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ {dims} ] }} ]\n'
        f"ensemble_scheduling {{ {steps} }}\n"
    )
    return folder

"""The counters of a model version."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.errors import InferenceError
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.scheduler import BatchReason
from charonia.server import Server
from charonia.statistics import FailureReason, ModelStatistics
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate


def test_every_duration_is_counted_in_its_distribution():
    """A distribution has as many durations as the counter beside it, and as many nanoseconds."""
    statistics = ModelStatistics()
    statistics.count_execution(
        batch_size=4, reason=BatchReason.FULL, successes=3, input_ns=5_000, infer_ns=70_000, output_ns=900
    )
    for total in (1_000_000, 2_000_000, 3_000_000):
        statistics.count_success(total_ns=total, queue_ns=total // 2, inferences=1)
    statistics.count_cache_hit(ns=40)
    statistics.count_cache_miss(ns=50)
    told = statistics.snapshot()
    for name in ("success", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"):
        distribution, counter = getattr(told.distributions, name), getattr(told, name)
        assert (distribution.count, distribution.ns) == (counter.count, counter.ns), name
    assert told.distributions.success.quantile(0.5) == pytest.approx(2_000_000, rel=0.25)


def test_failures_are_counted_by_reason(tmp_path):
    """A model that raises and a caller who goes away are told apart, and together they are all that failed."""
    config = model_config("m", parameters={"fail_on": "7", "gate": "statistics"})
    write_model(tmp_path, config)
    with (
        Server(tmp_path, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()])) as server,
        Gate("statistics") as gate,
    ):
        answers = []
        first, second = (InferenceRequest("m", {"INPUT0": np.zeros((1, 16), np.float32)}, answers.append) for _ in "ab")
        server.submit(first)
        gate.wait_entered()
        server.submit(second)
        second.cancel()
        gate.open()
        with pytest.raises(InferenceError):
            server.model("m").infer({"INPUT0": np.full((1, 16), 7, np.float32)})
        told = server.statistics("m")[0].counters
    assert told.failures == {
        FailureReason.REJECTED: 0,
        FailureReason.CANCELED: 1,
        FailureReason.BACKEND: 1,
        FailureReason.OTHER: 0,
    }
    assert (told.fail.count, told.success.count) == (2, 1)

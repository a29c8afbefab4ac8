"""The quantiles of the last minute."""

from __future__ import annotations

import math

import pytest
from charonia.metadata import VersionStatistics
from charonia.statistics import ModelStatistics
from charonia.testing.builders import model_config
from charonia_metrics_prometheus.model_metrics import ModelRow
from charonia_metrics_prometheus.summaries import Summaries

NAME = "nv_inference_request_summary_us"


def row_of(statistics):
    """Make a row of the model "m"."""
    now = statistics.snapshot()
    return ModelRow.of(VersionStatistics("m", "1", now, now, 0.0), model_config("m"))


def told_by(summaries, statistics):
    """Give the values of whole requests by the end of their name, or by the quantile."""
    (family,) = (family for family in summaries.metrics([row_of(statistics)]) if family.name == NAME)
    return {sample.labels.get("quantile", sample.name.removeprefix(NAME)): sample.value for sample in family.samples}


def test_the_window_moves_on():
    """After five steps only what came since counts for the quantiles, and everything for count and sum."""
    statistics, summaries = ModelStatistics(), Summaries([0.5])
    statistics.count_success(total_ns=1_000_000, queue_ns=0, inferences=1)
    assert told_by(summaries, statistics)["0.5"] == pytest.approx(1000, rel=0.25)
    for _ in range(5):
        summaries.step([row_of(statistics)])
    assert math.isnan(told_by(summaries, statistics)["0.5"])
    statistics.count_success(total_ns=9_000_000, queue_ns=0, inferences=1)
    told = told_by(summaries, statistics)
    assert told == {"_count": 2, "_sum": 10_000, "0.5": pytest.approx(9000, rel=0.25)}


def test_a_model_that_was_unloaded_meanwhile_begins_anew():
    """Where there are fewer requests than before, all of them are recent."""
    before, summaries = ModelStatistics(), Summaries([0.5])
    for _ in range(3):
        before.count_success(total_ns=1_000_000, queue_ns=0, inferences=1)
    summaries.step([row_of(before)])
    after = ModelStatistics()
    after.count_success(total_ns=5_000_000, queue_ns=0, inferences=1)
    assert told_by(summaries, after)["0.5"] == pytest.approx(5000, rel=0.25)


def test_near_quantiles_are_told_apart():
    """However near to each other, two quantiles have two rows."""
    assert set(told_by(Summaries([0.99999999, 1.0]), ModelStatistics())) == {"_count", "_sum", "0.99999999", "1"}

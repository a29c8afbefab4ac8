"""The counters of a model version."""

from __future__ import annotations

import json
import queue

import numpy as np
import pytest
from charonia.config import config_to_json, first_response_bounds_ms
from charonia.distribution import Buckets
from charonia.errors import InferenceError
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.scheduler import BatchReason
from charonia.server import Server
from charonia.statistics import FailureReason, ModelStatistics
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from hypothesis import given
from hypothesis import strategies as st


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


def count_all(statistics, requests):
    """Count requests, each with its batch size, as a model does."""
    for size in requests:
        statistics.count_execution(
            batch_size=size, reason=BatchReason.FULL, successes=1, input_ns=1000, infer_ns=size * 5000, output_ns=10
        )
        statistics.count_success(total_ns=size * 9000, queue_ns=7000, inferences=size)
        statistics.count_failure(total_ns=3000, reason=FailureReason.BACKEND)
        statistics.count_first_response(ns=size * 1_000_000)


class Waiting:
    """What a load still has to do."""

    def gauges(self):
        """Tell how many requests wait, and how many are in flight."""
        return 2, 3


sizes = st.lists(st.integers(1, 4), max_size=4)


@given(st.lists(st.tuples(sizes, sizes, st.booleans()), min_size=1, max_size=5))
def test_what_runs_on_is_the_sum_of_all_loads(loads):
    """However a version is loaded anew, and whether earlier loads have finished or still do, nothing is lost or told twice."""
    everything, current, late = ModelStatistics([2]), None, []
    waiting = Waiting()  # known for as long as it is here
    for before, after, finished in loads:
        follower = ModelStatistics([2])
        if current is not None:
            follower.follow(current, waiting.gauges)
        current = follower
        count_all(current, before)
        current.finished = finished
        late += [] if finished else [(current, after)]
        for requests in (before, [] if finished else after):
            count_all(everything, requests)
    for load, requests in late:
        count_all(load, requests)
    told, expected = current.running(current.snapshot()), everything.snapshot()
    for name in (
        *("inference_count", "execution_count", "success", "fail", "queue", "compute_infer", "batches"),
        *("batch_reasons", "failures", "distributions", "first_response"),
    ):
        assert getattr(told, name) == getattr(expected, name), name
    unfinished = sum(not finished for _, _, finished in loads[:-1])
    assert (told.pending, told.in_flight) == (2 * unfinished, 3 * unfinished)


def test_a_load_that_replaces_another_one_counts_on(tmp_path):
    """The counters begin anew, and what runs on knows the requests before, those that still finish, and those after."""
    write_model(tmp_path, model_config("m", parameters={"gate": "runs-on"}))
    with (
        Server(tmp_path, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()])) as server,
        Gate("runs-on") as gate,
    ):
        answers = queue.SimpleQueue()
        for _ in range(2):
            server.submit(InferenceRequest("m", {"INPUT0": np.zeros((3, 16), np.float32)}, answers.put))
        gate.wait_entered()
        server.load("m", config=json.dumps(config_to_json(model_config("m", parameters={"anew": "1"}))))
        (told,) = server.statistics("m")
        assert (told.counters.success.count, told.running.success.count) == (0, 0)
        assert (told.counters.in_flight, told.running.in_flight) == (0, 2)
        assert (told.counters.pending, told.running.pending) == (0, 1)
        gate.open()
        for _ in range(2):
            answers.get(timeout=60)
        server.model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)})
        (told,) = server.statistics("m")
        assert (told.counters.success.count, told.running.success.count) == (1, 3)
        assert (told.counters.inference_count, told.running.inference_count) == (1, 7)
        assert (told.running.in_flight, told.running.pending) == (0, 0)
        assert told.load_seconds > 0
        server.unload("m")
        server.load("m", config=json.dumps(config_to_json(model_config("m"))))
        (told,) = server.statistics("m")
        assert told.running.success.count == 0


def test_first_responses_of_decoupled_models_are_counted(tmp_path):
    """One is counted for each request that gets any, an error included, in the buckets that the configuration chose."""
    config = model_config("m", decoupled=True, max_batch_size=0, parameters={"fail_on": "7"})
    control = config.model_metrics.metric_control.add()
    control.metric_identifier.family = "nv_inference_first_response_histogram_ms"
    control.histogram_options.buckets.extend([60_000, 30_000])
    write_model(tmp_path, config)
    with Server(tmp_path, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()])) as server:
        for count in (3, 1, 0):
            list(server.model("m").stream({"INPUT0": np.full(16, count, np.float32)}))
        with pytest.raises(InferenceError):
            list(server.model("m").stream({"INPUT0": np.full(16, 7, np.float32)}))
        told = server.statistics("m")[0].counters
    assert (told.success.count, told.fail.count) == (3, 1)
    assert (told.first_response.bounds_ms, told.first_response.counts) == ((30_000, 60_000), (3, 0, 0))
    assert 0 < told.first_response.ns < told.success.ns + told.fail.ns


def test_buckets_of_other_bounds_are_not_added():
    """Where the bounds have changed, the later ones stand alone."""
    earlier, later = Buckets((1, 2), (1, 1, 1), 7), Buckets((5,), (2, 3), 9)
    assert earlier + later == later
    assert later + later == Buckets((5,), (4, 6), 18)


def test_only_one_family_has_buckets_to_choose(caplog):
    """Another name in the section `model_metrics` is told in the log, and the usual buckets stay."""
    config = model_config("m", decoupled=True)
    control = config.model_metrics.metric_control.add()
    control.metric_identifier.family = "nv_inference_count"
    assert first_response_bounds_ms(config) == (100, 500, 2000, 5000)
    assert "names the family nv_inference_count, whose buckets cannot be chosen" in caplog.text
    assert first_response_bounds_ms(model_config("m")) == ()

"""The metrics of models: the reference's, and those that it has not, from the counters that every model has anyway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.metrics_core import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from charonia.config import ModelConfig
    from charonia.distribution import Distribution
    from charonia.statistics import StatisticsSnapshot

    from charonia_metrics_prometheus.settings import MetricsSettings

__all__ = ["ModelRow", "model_metrics"]

_POWERS = tuple(range(14, 36))
"""The buckets of durations end at these powers of two, in nanoseconds: from 16 us to 34 s."""

_BOUNDS = tuple(repr(2**power / 1e9) for power in _POWERS)


@dataclass(frozen=True)
class ModelRow:
    """What is known of a model version.

    Attributes:
        labels: what tells it from others, in the order in which it is written.
        config: its configuration.
        counters: its counters.
    """

    labels: dict[str, str]
    config: ModelConfig
    counters: StatisticsSnapshot

    @staticmethod
    def of(name: str, version: str, config: ModelConfig, counters: StatisticsSnapshot) -> ModelRow:
        """Make one; the tags of the configuration's `model_metrics` stand among the labels with a `_` before their names."""
        tags = {f"_{tag}": value for tag, value in config.metric_tags.items()}
        return ModelRow(dict(sorted({**tags, "model": name, "version": version}.items())), config, counters)

    @property
    def cached(self) -> bool:
        """Whether responses of the model are kept."""
        return bool(self.config.response_cache.enable)


class _Simple(NamedTuple):
    """A family with one number for each model."""

    name: str
    kind: str
    description: str
    value: Callable[[StatisticsSnapshot], int]


_COUNTERS = (
    _Simple(
        "nv_inference_count",
        "counter",
        "Number of inferences performed (does not include cached requests)",
        lambda told: told.inference_count,
    ),
    _Simple(
        "nv_inference_exec_count",
        "counter",
        "Number of model executions performed (does not include cached requests)",
        lambda told: told.execution_count,
    ),
    _Simple(
        "nv_inference_request_duration_us",
        "counter",
        "Cumulative inference request duration in microseconds (includes cached requests)",
        lambda told: told.success.ns // 1000,
    ),
    _Simple(
        "nv_inference_queue_duration_us",
        "counter",
        "Cumulative inference queuing duration in microseconds (includes cached requests)",
        lambda told: told.queue.ns // 1000,
    ),
    _Simple(
        "nv_inference_compute_input_duration_us",
        "counter",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
        lambda told: told.compute_input.ns // 1000,
    ),
    _Simple(
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
        lambda told: told.compute_infer.ns // 1000,
    ),
    _Simple(
        "nv_inference_compute_output_duration_us",
        "counter",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        lambda told: told.compute_output.ns // 1000,
    ),
)
_CACHE = (
    _Simple(
        "nv_cache_num_hits_per_model",
        "counter",
        "Number of cache hits per model",
        lambda told: told.cache_hit.count,
    ),
    _Simple(
        "nv_cache_hit_duration_per_model",
        "counter",
        "Total cache hit duration per model, in microseconds",
        lambda told: told.cache_hit.ns // 1000,
    ),
    _Simple(
        "nv_cache_num_misses_per_model",
        "counter",
        "Number of cache misses per model",
        lambda told: told.cache_miss.count,
    ),
    _Simple(
        "nv_cache_miss_duration_per_model",
        "counter",
        "Total cache miss (insert+lookup) duration per model, in microseconds",
        lambda told: told.cache_miss.ns // 1000,
    ),
)
_GAUGES = (
    _Simple(
        "nv_inference_pending_request_count",
        "gauge",
        "Instantaneous number of pending requests awaiting execution per-model.",
        lambda told: told.pending,
    ),
    _Simple(
        "charonia_in_flight_requests",
        "gauge",
        "Requests that were accepted and are not finished yet",
        lambda told: told.in_flight,
    ),
)


def model_metrics(rows: Sequence[ModelRow], settings: MetricsSettings) -> Iterator[Metric]:
    """Give the metrics of models, in the reference's order and then its own."""
    cached = [row for row in rows if row.cached]
    yield _success(rows)
    yield _failures(rows)
    for families, concerned in ((_COUNTERS, rows), (_CACHE, cached), (_GAUGES, rows)):
        wanted = [family for family in families if settings.counter_latencies or "duration" not in family.name]
        yield from _simple(wanted, concerned)
    yield _batch_reasons(rows)
    if settings.histogram_latencies:
        yield from _histograms(rows)
        yield _batch_sizes(rows)


def _simple(families: Sequence[_Simple], rows: Sequence[ModelRow]) -> Iterator[Metric]:
    for family in families:
        metric = Metric(family.name, family.description, family.kind)
        for row in rows:
            metric.add_sample(family.name, row.labels, family.value(row.counters))
        yield metric


def _success(rows: Sequence[ModelRow]) -> Metric:
    name = "nv_inference_request_success"
    metric = Metric(name, "Number of successful inference requests, all batch sizes", "counter")
    for row in rows:
        metric.add_sample(name, row.labels, row.counters.success.count)
    return metric


def _failures(rows: Sequence[ModelRow]) -> Metric:
    name = "nv_inference_request_failure"
    metric = Metric(name, "Number of failed inference requests, all batch sizes", "counter")
    for row in rows:
        for reason, count in row.counters.failures.items():
            metric.add_sample(name, dict(sorted({**row.labels, "reason": str(reason)}.items())), count)
    return metric


def _batch_reasons(rows: Sequence[ModelRow]) -> Metric:
    name = "charonia_batches_closed"
    metric = Metric(name, "Executions by the reason why no further request joined their batch", "counter")
    for row in rows:
        for reason, count in row.counters.batch_reasons.items():
            metric.add_sample(name, dict(sorted({**row.labels, "reason": str(reason)}.items())), count)
    return metric


_HISTOGRAMS: tuple[tuple[str, str, Callable[[StatisticsSnapshot], Distribution]], ...] = (
    (
        "charonia_request_duration_seconds",
        "Successful requests, from their arrival to their response",
        lambda told: told.distributions.success,
    ),
    (
        "charonia_queue_duration_seconds",
        "Successful requests, from entering the queue to the start of their execution",
        lambda told: told.distributions.queue,
    ),
    (
        "charonia_compute_duration_seconds",
        "Successful requests: how long the model computed for the batch that each was in",
        lambda told: told.distributions.compute_infer,
    ),
)


def _histograms(rows: Sequence[ModelRow]) -> Iterator[Metric]:
    for name, description, distribution_of in _HISTOGRAMS:
        metric = Metric(name, description, "histogram")
        for row in rows:
            distribution = distribution_of(row.counters)
            counts = zip((*_BOUNDS, "+Inf"), (*distribution.below(_POWERS), distribution.count), strict=True)
            for bound, count in counts:
                metric.add_sample(f"{name}_bucket", {**row.labels, "le": bound}, count)
            metric.add_sample(f"{name}_sum", row.labels, distribution.ns / 1e9)
            metric.add_sample(f"{name}_count", row.labels, distribution.count)
        yield metric


def _batch_sizes(rows: Sequence[ModelRow]) -> Metric:
    """Tell the sizes of batches. The buckets of a model are the powers of two up to its max_batch_size, which is the last."""
    name = "charonia_batch_size"
    metric = Metric(name, "Executions by the size of their batch", "histogram")
    for row in rows:
        counts = {size: batch.compute_infer.count for size, batch in row.counters.batches.items()}
        largest = max(row.config.max_batch_size, 1)
        bounds = sorted({*(2**power for power in range(largest.bit_length())), largest})
        for bound in bounds:
            below = sum(count for size, count in counts.items() if size <= bound)
            metric.add_sample(f"{name}_bucket", {**row.labels, "le": str(bound)}, below)
        total = sum(counts.values())
        metric.add_sample(f"{name}_bucket", {**row.labels, "le": "+Inf"}, total)
        metric.add_sample(f"{name}_sum", row.labels, sum(size * count for size, count in counts.items()))
        metric.add_sample(f"{name}_count", row.labels, total)
    return metric

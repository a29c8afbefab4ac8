"""The metrics of models: the reference's, and those that it has not, from the counters that every model has anyway.

As in the reference, they count on where a load replaces another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.metrics_core import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from charonia.config import ModelConfig
    from charonia.metadata import VersionStatistics
    from charonia.statistics import FailureReason

    from charonia_metrics_prometheus.settings import MetricsSettings

__all__ = ["ModelRow", "model_metrics"]

_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")
"""What cannot stand in the name of a label: one that has it spoils the whole page."""


@dataclass(frozen=True)
class ModelRow:
    """What is known of a model version.

    Attributes:
        labels: what tells it from others, in the order in which it is written.
        config: its configuration.
        told: what is counted of it.
    """

    labels: dict[str, str]
    config: ModelConfig
    told: VersionStatistics

    @staticmethod
    def of(told: VersionStatistics, config: ModelConfig) -> ModelRow:
        """Make one; the configuration's `metric_tags` stand among the labels, by the names that they can have there.

        Args:
            told: what is counted of it.
            config: its configuration.
        """
        labels = _labels_of(config.metric_tags) | {"model": told.name, "version": told.version}
        if told.namespace:
            labels["namespace"] = told.namespace
        return ModelRow(dict(sorted(labels.items())), config, told)

    @property
    def cached(self) -> bool:
        """Whether responses of the model are kept."""
        return bool(self.config.response_cache.enable)


def _labels_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Give tags as labels: with a `_` before their names, and one for each character that no label's name has.

    Where several are one label then, it has all their values, with `;` between them, as OpenTelemetry hands such attributes over.
    """
    labels: dict[str, str] = {}
    for tag, value in sorted(tags.items()):
        label = _NO_LABEL.sub("_", f"_{tag}")
        labels[label] = f"{labels[label]};{value}" if label in labels else value
    return labels


class _Simple(NamedTuple):
    """A family with one number for each model."""

    name: str
    kind: str
    description: str
    value: Callable[[VersionStatistics], float]


_SUCCESS = (
    _Simple(
        "nv_inference_request_success",
        "counter",
        "Number of successful inference requests, all batch sizes",
        lambda told: told.running.success.count,
    ),
)
_COUNTERS = (
    _Simple(
        "nv_inference_count",
        "counter",
        "Number of inferences performed (does not include cached requests)",
        lambda told: told.running.inference_count,
    ),
    _Simple(
        "nv_inference_exec_count",
        "counter",
        "Number of model executions performed (does not include cached requests)",
        lambda told: told.running.execution_count,
    ),
    _Simple(
        "nv_inference_request_duration_us",
        "counter",
        "Cumulative inference request duration in microseconds (includes cached requests)",
        lambda told: told.running.success.ns // 1000,
    ),
    _Simple(
        "nv_inference_queue_duration_us",
        "counter",
        "Cumulative inference queuing duration in microseconds (includes cached requests)",
        lambda told: told.running.queue.ns // 1000,
    ),
    _Simple(
        "nv_inference_compute_input_duration_us",
        "counter",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
        lambda told: told.running.compute_input.ns // 1000,
    ),
    _Simple(
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
        lambda told: told.running.compute_infer.ns // 1000,
    ),
    _Simple(
        "nv_inference_compute_output_duration_us",
        "counter",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        lambda told: told.running.compute_output.ns // 1000,
    ),
)
_CACHE = (
    _Simple(
        "nv_cache_num_hits_per_model",
        "counter",
        "Number of cache hits per model",
        lambda told: told.running.cache_hit.count,
    ),
    _Simple(
        "nv_cache_hit_duration_per_model",
        "counter",
        "Total cache hit duration per model, in microseconds",
        lambda told: told.running.cache_hit.ns // 1000,
    ),
    _Simple(
        "nv_cache_num_misses_per_model",
        "counter",
        "Number of cache misses per model",
        lambda told: told.running.cache_miss.count,
    ),
    _Simple(
        "nv_cache_miss_duration_per_model",
        "counter",
        "Total cache miss (insert+lookup) duration per model, in microseconds",
        lambda told: told.running.cache_miss.ns // 1000,
    ),
)
_GAUGES = (
    _Simple(
        "nv_inference_pending_request_count",
        "gauge",
        "Instantaneous number of pending requests awaiting execution per-model.",
        lambda told: told.running.pending,
    ),
    _Simple("nv_model_load_duration_secs", "gauge", "Model load time in seconds", lambda told: told.load_seconds),
    _Simple(
        "charonia_in_flight_requests",
        "gauge",
        "Requests that were accepted and are not finished yet",
        lambda told: told.running.in_flight,
    ),
    _Simple(
        "charonia_loaded_bytes",
        "gauge",
        "How many bytes of this machine's memory the model takes, as far as that is known",
        lambda told: told.counters.host_byte_size,
    ),
)


def model_metrics(rows: Sequence[ModelRow], settings: MetricsSettings) -> Iterator[Metric]:
    """Give the numbers of models, in the reference's order and then its own."""
    counters, cache = (
        [family for family in families if settings.counter_latencies or "_duration_" not in family.name]
        for families in (_COUNTERS, _CACHE)
    )
    yield from _simple(_SUCCESS, rows)
    yield _by_reason(
        "nv_inference_request_failure",
        "Number of failed inference requests, all batch sizes",
        rows,
        lambda told: told.running.failures,
    )
    yield from _simple(counters, rows)
    yield from _simple(cache, [row for row in rows if row.cached])
    yield from _simple(_GAUGES, rows)
    yield _by_reason(
        "charonia_batches_closed",
        "Executions by the reason why no further request joined their batch",
        rows,
        lambda told: told.running.batch_reasons,
    )


def _simple(families: Sequence[_Simple], rows: Sequence[ModelRow]) -> Iterator[Metric]:
    for family in families:
        metric = Metric(family.name, family.description, family.kind)
        for row in rows:
            metric.add_sample(family.name, row.labels, family.value(row.told))
        yield metric


def _by_reason(
    name: str,
    description: str,
    rows: Sequence[ModelRow],
    counts_of: Callable[[VersionStatistics], Mapping[FailureReason, int] | Mapping[str, int]],
) -> Metric:
    metric = Metric(name, description, "counter")
    for row in rows:
        for reason, count in counts_of(row.told).items():
            metric.add_sample(name, dict(sorted({**row.labels, "reason": str(reason)}.items())), count)
    return metric

"""The histograms of models: durations, sizes of batches, and times to the first response."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from charonia.config import FIRST_RESPONSE
from prometheus_client.metrics_core import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from charonia.distribution import Distribution
    from charonia.statistics import Distributions

    from charonia_metrics_prometheus.model_metrics import ModelRow

__all__ = ["model_histograms"]

_POWERS = tuple(range(14, 36))
"""The buckets of durations end at these powers of two, in nanoseconds: from 16 us to 34 s."""

_BOUNDS = tuple(repr(2**power / 1e9) for power in _POWERS)

_DURATIONS: tuple[tuple[str, str, Callable[[Distributions], Distribution]], ...] = (
    (
        "charonia_request_duration_seconds",
        "Successful requests, from their arrival to their response",
        lambda told: told.success,
    ),
    (
        "charonia_queue_duration_seconds",
        "Successful requests, from entering the queue to the start of their execution",
        lambda told: told.queue,
    ),
    (
        "charonia_compute_duration_seconds",
        "Successful requests: how long the model computed for the batch that each was in",
        lambda told: told.compute_infer,
    ),
)


def model_histograms(rows: Sequence[ModelRow]) -> Iterator[Metric]:
    """Give the histograms of models: the reference's one and then its own."""
    yield _first_responses(rows)
    for name, description, distribution_of in _DURATIONS:
        metric = Metric(name, description, "histogram")
        for row in rows:
            told = distribution_of(row.told.running.distributions)
            _add(metric, row, _BOUNDS, (*told.below(_POWERS), told.count), told.ns / 1e9)
        yield metric
    yield _batch_sizes(rows)


def _add(metric: Metric, row: ModelRow, bounds: Sequence[str], counts: Sequence[int], total: float) -> None:
    """Add a model's histogram.

    Args:
        metric: the family.
        row: the model.
        bounds: the upper bounds of the buckets, without the infinite one.
        counts: how many lie below each of them, and in all.
        total: the sum of all that was observed.
    """
    for bound, count in zip((*bounds, "+Inf"), counts, strict=True):
        metric.add_sample(f"{metric.name}_bucket", {**row.labels, "le": bound}, count)
    metric.add_sample(f"{metric.name}_sum", row.labels, total)
    metric.add_sample(f"{metric.name}_count", row.labels, counts[-1])


def _first_responses(rows: Sequence[ModelRow]) -> Metric:
    """Tell of the models that may give a request any number of responses, and so answer long before they are done."""
    metric = Metric(FIRST_RESPONSE, "Duration from request to first response in milliseconds", "histogram")
    for row in rows:
        if row.config.model_transaction_policy.decoupled:
            told = row.told.running.first_response
            bounds = [f"{bound:.15g}" for bound in told.bounds_ms]
            _add(metric, row, bounds, tuple(accumulate(told.counts)), told.ns / 1e6)
    return metric


def _batch_sizes(rows: Sequence[ModelRow]) -> Metric:
    """Tell the sizes of batches. The buckets of a model are the powers of two up to its max_batch_size, which is the last."""
    metric = Metric("charonia_batch_size", "Executions by the size of their batch", "histogram")
    for row in rows:
        counts = {size: batch.compute_infer.count for size, batch in row.told.running.batches.items()}
        largest = max(row.config.max_batch_size, 1)
        bounds = sorted({*(2**power for power in range(largest.bit_length())), largest})
        below = [sum(count for size, count in counts.items() if size <= bound) for bound in bounds]
        total = sum(size * count for size, count in counts.items())
        _add(metric, row, [str(bound) for bound in bounds], (*below, sum(counts.values())), total)
    return metric

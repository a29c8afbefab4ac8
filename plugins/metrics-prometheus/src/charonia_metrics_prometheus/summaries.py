"""Quantiles of the durations of the last minute."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.metrics_core import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from charonia.distribution import Distribution
    from charonia.statistics import Distributions

    from charonia_metrics_prometheus.model_metrics import ModelRow

__all__ = ["STEP_SECONDS", "Summaries"]

_STEPS = 5
STEP_SECONDS = 12.0
"""How often the window moves on; it is five such steps long, as in the reference."""

_WANTS_CACHED = {"success": False, "cache_hit": True, "cache_miss": True}
"""Which summaries only models have whose responses are kept, and which only the others, as in the reference."""

_FAMILIES = (
    (
        "success",
        "nv_inference_request_summary_us",
        "Summary of inference request duration in microseconds (includes cached requests)",
    ),
    (
        "queue",
        "nv_inference_queue_summary_us",
        "Summary of inference queuing duration in microseconds (includes cached requests)",
    ),
    (
        "compute_input",
        "nv_inference_compute_input_summary_us",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
    ),
    (
        "compute_infer",
        "nv_inference_compute_infer_summary_us",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
    ),
    (
        "compute_output",
        "nv_inference_compute_output_summary_us",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
    ),
    (
        "cache_hit",
        "nv_cache_hit_summary_per_model",
        "Summary of cache hit counts/durations per model, in microseconds.",
    ),
    (
        "cache_miss",
        "nv_cache_miss_summary_per_model",
        "Summary of cache miss counts/durations per model, in microseconds.",
    ),
)


_Labels: TypeAlias = tuple[tuple[str, str], ...]


class Summaries:
    """Knows how the durations of a minute ago were distributed. Any thread may use it.

    Args:
        quantiles: which are told; from 0 to 1.
    """

    def __init__(self, quantiles: Sequence[float]) -> None:
        self._quantiles = quantiles
        self._lock = threading.Lock()  # guards `_earlier`
        self._earlier: deque[Mapping[_Labels, Distributions]] = deque(maxlen=_STEPS)

    def step(self, rows: Sequence[ModelRow]) -> None:
        """Move the window on; to be called every `STEP_SECONDS`."""
        with self._lock:
            self._earlier.append({_key(row): row.told.running.distributions for row in rows})

    def metrics(self, rows: Sequence[ModelRow]) -> Iterator[Metric]:
        """Give the summaries."""
        with self._lock:
            before = self._earlier[0] if self._earlier else {}
        for attribute, name, description in _FAMILIES:
            metric = Metric(name, description, "summary")
            for row in rows:
                if row.cached is not _WANTS_CACHED.get(attribute, row.cached):
                    continue
                now: Distribution = getattr(row.told.running.distributions, attribute)
                then = getattr(before[_key(row)], attribute) if _key(row) in before else None
                self._add(metric, row, now, then)
            yield metric

    def _add(self, metric: Metric, row: ModelRow, now: Distribution, then: Distribution | None) -> None:
        metric.add_sample(f"{metric.name}_count", row.labels, now.count)
        metric.add_sample(f"{metric.name}_sum", row.labels, now.ns // 1000)
        began_anew = then is not None and then.count > now.count  # the model was unloaded meanwhile
        recent = now if then is None or began_anew else now.since(then)
        for quantile in self._quantiles:
            ns = recent.quantile(quantile)
            value = math.nan if ns is None else round(ns / 1000, 3)
            metric.add_sample(metric.name, {**row.labels, "quantile": f"{quantile:.15g}"}, value)


def _key(row: ModelRow) -> _Labels:
    return tuple(row.labels.items())

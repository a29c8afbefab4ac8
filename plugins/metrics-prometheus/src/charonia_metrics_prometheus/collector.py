"""Everything that is told, as a collector of prometheus-client, which reads it when it is asked."""

from __future__ import annotations

import logging
import re
from itertools import accumulate
from typing import TYPE_CHECKING

from charonia.errors import InferenceError
from charonia.metric_families import Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from charonia_metrics_prometheus.machine import pinned_memory_metrics, process_metrics
from charonia_metrics_prometheus.model_histograms import model_histograms
from charonia_metrics_prometheus.model_metrics import ModelRow, model_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from charonia.metric_families import MetricFamily
    from charonia.server import Server

    from charonia_metrics_prometheus.gpus import Gpus
    from charonia_metrics_prometheus.loop_lag import LoopLag
    from charonia_metrics_prometheus.machine import Machine
    from charonia_metrics_prometheus.settings import MetricsSettings
    from charonia_metrics_prometheus.summaries import Summaries

__all__ = ["ServerCollector"]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError)
"""What `_converted` may raise: a backend may tell whatever it likes."""
_ENDINGS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}

_log = logging.getLogger("charonia.metrics_prometheus.collector")


class ServerCollector(Collector):
    """The metrics of one server. Used by one thread at a time.

    Args:
        server: whose they are.
        settings: which of them are told.
        machine: the machine, if it is to be told about; `gpus` likewise.
        gpus: see machine.
        summaries: what quantiles are taken from, if they are to be told.
        lag: the event loop's, if there is one.
    """

    def __init__(
        self,
        server: Server,
        settings: MetricsSettings,
        *,
        machine: Machine | None = None,
        gpus: Gpus | None = None,
        summaries: Summaries | None = None,
        lag: LoopLag | None = None,
    ) -> None:
        self._server = server
        self._settings = settings
        self._machine = machine
        self._gpus = gpus
        self._summaries = summaries
        self._lag = lag
        self._refused: set[str] = set()  # the names of families that were left out, and told of

    def collect(self) -> Iterator[Metric]:
        """Read all metrics, the reference's names in the reference's order.

        A page with two families of one name could not be read: the server's own comes before those of models and backends, and
        of these the first one.
        """
        rows = self._rows()
        first, last = list(self._first(rows)), list(self._last(rows))
        told = {name for metric in (*first, *last) for name in _names(metric)}
        yield from first
        for family in self._server.metrics():
            try:
                metric = _converted(family)
            except _UNREADABLE as error:
                self._leave_out(family.name, f"Prometheus could not read them: {error}")
                continue
            if told.isdisjoint(names := _names(metric)):
                told.update(names)
                yield metric
            else:
                self._leave_out(family.name, "there are others of their name")
        yield from last

    def _leave_out(self, name: str, why: str) -> None:
        """Say once that a family is not told, and why."""
        if name not in self._refused:
            self._refused.add(name)
            _log.warning("metrics are left out, since %s: %s", why, name)

    def _first(self, rows: Sequence[ModelRow]) -> Iterator[Metric]:
        yield from model_metrics(rows, self._settings)
        if self._settings.histogram_latencies:
            yield from model_histograms(rows)
        yield from pinned_memory_metrics()
        if self._machine is not None:
            yield from self._machine.metrics()
        if self._gpus is not None:
            yield from self._gpus.metrics()

    def _last(self, rows: Sequence[ModelRow]) -> Iterator[Metric]:
        if self._summaries is not None:
            yield from self._summaries.metrics(rows)
        if self._lag is not None:
            yield self._lag.metric()
        yield from process_metrics()

    def step_summaries(self) -> None:
        """Let the window of the summaries move on."""
        if self._summaries is not None:
            self._summaries.step(self._rows())

    def _rows(self) -> list[ModelRow]:
        rows = {}
        for told, config in self._server.departing():
            rows[told.namespace, told.name, told.version] = ModelRow.of(told, config)
        for told in self._server.statistics():
            try:
                config = self._server.model_config(told.name, int(told.version), told.namespace)
            except InferenceError:  # it has gone in this very moment
                continue
            rows[told.namespace, told.name, told.version] = ModelRow.of(told, config)
        return [*rows.values()]


def _names(metric: Metric) -> list[str]:
    """Give the names that a family takes: of a histogram or a summary, those of its lines, too."""
    return [metric.name, *(f"{metric.name}{ending}" for ending in _ENDINGS.get(metric.type, ()))]


def _converted(family: MetricFamily) -> Metric:
    """Write a family as prometheus-client has it. Values may be any numbers, those of numpy among them.

    Raises:
        ValueError, TypeError, AttributeError, OverflowError: it is none that could be read.
    """
    if not _NAME.fullmatch(family.name):
        raise ValueError(f"{family.name!r} is no name")
    metric = Metric(family.name, str(family.description), family.kind.value)
    for sample in family.samples:
        labels = dict(sorted(sample.labels.items()))
        for label, text in labels.items():
            if not _LABEL.fullmatch(label) or not isinstance(text, str):
                raise ValueError(f"{label!r} = {text!r} is no label")
        if not isinstance(sample.value, Histogram):
            metric.add_sample(family.name, labels, _plain(sample.value))
            continue
        running = list(accumulate(map(int, sample.value.counts)))
        for bound, count in zip((*sample.value.bounds, float("inf")), running, strict=True):
            metric.add_sample(f"{family.name}_bucket", {**labels, "le": f"{bound:.16g}".replace("inf", "+Inf")}, count)
        metric.add_sample(f"{family.name}_sum", labels, _plain(sample.value.total))
        metric.add_sample(f"{family.name}_count", labels, running[-1])
    return metric


def _plain(number: float) -> float:
    return number if type(number) is int else float(number)

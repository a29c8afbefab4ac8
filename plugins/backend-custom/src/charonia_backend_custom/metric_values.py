"""The values of the metrics that models make: kept here, and given by `CustomBackend.metrics` as they are at the time.

Families of one name are one family for the whole backend, whichever models and instances make them; metrics with equal labels are
one metric. Each lives as long as somebody holds it.
"""

from __future__ import annotations

import bisect
import math
import re
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import triton_python_backend_utils as pb_utils
from charonia.metric_families import Histogram, MetricFamily, MetricKind, MetricSample

from charonia_backend_custom.activity import current_activity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HeldMetrics", "MetricTable"]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")  # two underscores are Prometheus' own

_KINDS = (MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM)
_WORDS = {"increment": "Increment", "set": "Set", "observe": "Observe"}
_ALLOWED = {
    MetricKind.COUNTER: {"increment"},
    MetricKind.GAUGE: {"increment", "set"},
    MetricKind.HISTOGRAM: {"observe"},
}

_Counted = TypeVar("_Counted")
_Labels = tuple[tuple[str, str], ...]
_Hold = tuple[object, str, _Labels | None]
"""Who holds something, its family's name, and a metric's labels; None for the family itself."""


@dataclass
class _Metric:
    """One metric; a histogram has bounds and counts, and the sum as its value."""

    bounds: Sequence[float] = ()
    counts: list[int] = field(default_factory=list)
    value: float = 0.0


@dataclass
class _Family:
    """The metrics of one name."""

    description: str
    kind: MetricKind
    metrics: dict[_Labels, _Metric] = field(default_factory=dict)


class MetricTable:
    """All metrics of all models of a backend. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._families: dict[str, _Family] = {}
        self._holds: Counter[_Hold] = Counter()
        self._held: Counter[tuple[str, _Labels | None]] = Counter()  # the same, whoever the holders are
        self._left: deque[_Hold] = deque()  # not guarded: the collection of garbage may come at any moment

    def snapshot(self) -> list[MetricFamily]:
        """Give all families as they are now, in the order in which they were made."""
        with self._lock:
            self._tidy()
            return [
                MetricFamily(
                    name,
                    family.description,
                    family.kind,
                    [MetricSample(dict(labels), _told(family, metric)) for labels, metric in family.metrics.items()],
                )
                for name, family in self._families.items()
            ]

    def declare(self, holder: object, name: str, description: str, kind: MetricKind) -> None:
        """Make a family, or hold one that is there."""
        if not _NAME.fullmatch(name):
            raise ValueError("Invalid metric name")
        with self._lock:
            self._tidy()
            family = self._families.setdefault(name, _Family(description, kind))
            if family.kind is not kind:
                raise ValueError("Family name already exists with different type")
            self._hold(holder, name, None)

    def add(self, holder: object, name: str, labels: _Labels, buckets: Sequence[float]) -> None:
        """Make a metric, or hold one that is there."""
        with self._lock:
            self._tidy()
            family = self._family(name)
            _check_labels(family, labels)
            _check_buckets(family, buckets)
            family.metrics.setdefault(labels, _Metric(tuple(buckets), [0] * (len(buckets) + 1)))
            self._hold(holder, name, labels)

    def apply(self, name: str, labels: _Labels, operation: str, value: float) -> None:
        """Change a metric."""
        with self._lock:
            family = self._family(name)
            kind = f"TRITONSERVER_METRIC_KIND_{family.kind.name}"
            if operation not in _ALLOWED[family.kind]:
                raise ValueError(f"{kind} does not support {_WORDS[operation]}")
            metric = family.metrics[labels]
            if family.kind is MetricKind.COUNTER and value < 0:
                raise ValueError(f"{kind} can only be incremented monotonically by non-negative values.")
            if operation == "observe":
                metric.counts[bisect.bisect_left(metric.bounds, value)] += 1
            metric.value = value if operation == "set" else metric.value + value

    def value(self, name: str, labels: _Labels) -> float:
        """Tell a value."""
        with self._lock:
            family = self._family(name)
            if family.kind is MetricKind.HISTOGRAM:
                raise ValueError("TRITONSERVER_METRIC_KIND_HISTOGRAM does not support Value")
            return family.metrics[labels].value

    def leave(self, holder: object, name: str, labels: _Labels | None) -> None:
        """Take a hold back. What nobody holds any more is forgotten, soon. Takes no lock."""
        self._left.append((holder, name, labels))

    def leave_all(self, holder: object) -> None:
        """Take back all that somebody holds."""
        with self._lock:
            self._tidy()
            for hold in [hold for hold in self._holds if hold[0] is holder]:
                self._let_go(hold, self._holds[hold])

    def _hold(self, holder: object, name: str, labels: _Labels | None) -> None:
        self._holds[holder, name, labels] += 1
        self._held[name, labels] += 1

    def _tidy(self) -> None:
        while self._left:
            self._let_go(self._left.popleft(), 1)

    def _let_go(self, hold: _Hold, times: int) -> None:
        _, name, labels = hold
        times = min(times, self._holds[hold])
        if not times:
            return
        _subtract(self._holds, hold, times)
        _subtract(self._held, (name, labels), times)
        family = self._families[name]
        if labels is not None and (name, labels) not in self._held:
            del family.metrics[labels]
        if not family.metrics and (name, None) not in self._held:
            del self._families[name]

    def _family(self, name: str) -> _Family:
        family = self._families.get(name)
        if family is None:
            raise ValueError(f"the metric family '{name}' is gone: keep the object that stands for it")
        return family


class HeldMetrics:
    """The metrics as one model holds them: `triton_python_backend_utils.host.MetricValues`.

    Args:
        table: where they are.
        holder: the model's name, for errors.
    """

    def __init__(self, table: MetricTable, holder: str) -> None:
        self._table = table
        self._holder = holder

    def declare(self, name: str, description: str, kind: int) -> None:
        """Make a family, or join in one."""
        try:
            self._table.declare(self, name, description, _KINDS[kind])
        except ValueError as error:
            raise self._refusal("Error when creating MetricFamily", error) from error

    def add(self, name: str, labels: Mapping[str, str], buckets: Sequence[float]) -> None:
        """Make a metric of a family, or join in one."""
        try:
            self._table.add(self, name, _key(labels), buckets)
        except ValueError as error:
            raise self._refusal("Error when creating Metric", error) from error

    def apply(self, name: str, labels: Mapping[str, str], operation: str, value: float) -> None:
        """Do `increment`, `set` or `observe`."""
        try:
            self._table.apply(name, _key(labels), operation, float(value))
        except ValueError as error:
            raise self._refusal(f"Failed to {operation} metric value", error) from error

    def value(self, name: str, labels: Mapping[str, str]) -> float:
        """Tell the value."""
        try:
            return self._table.value(name, _key(labels))
        except ValueError as error:
            raise self._refusal("Failed to get metric value", error) from error

    def leave(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Leave a metric, or without labels a family. Does nothing for what is not held any more."""
        self._table.leave(self, name, None if labels is None else _key(labels))

    def close(self) -> None:
        """Leave all that is still held."""
        self._table.leave_all(self)

    def _refusal(self, what: str, error: ValueError) -> pb_utils.TritonModelException:
        activity = current_activity()
        caller = self._holder if activity is None else activity.instance
        return pb_utils.TritonModelException(
            f"{what}: Failed to process the request for model '{caller}', message: {error}"
        )


def _subtract(counts: Counter[_Counted], key: _Counted, times: int) -> None:
    counts[key] -= times
    if not counts[key]:
        del counts[key]


def _key(labels: Mapping[str, str]) -> _Labels:
    if not all(isinstance(item, str) for pair in labels.items() for item in pair):
        raise ValueError("attempt to access JSON non-string as string")
    return tuple(sorted(labels.items()))


def _check_labels(family: _Family, labels: _Labels) -> None:
    """Refuse what no page of metrics can tell: Prometheus would read none of it."""
    for label, _ in labels:
        if not _LABEL.fullmatch(label) or (family.kind is MetricKind.HISTOGRAM and label == "le"):
            raise ValueError(
                f"Invalid label name: {label!r} is not made of letters, digits and _, or has a meaning already"
            )


def _check_buckets(family: _Family, buckets: Sequence[float]) -> None:
    if family.kind is MetricKind.HISTOGRAM and not buckets:
        raise ValueError("a histogram needs buckets")
    if list(buckets) != sorted(set(buckets)):
        raise ValueError(f"the buckets {list(buckets)} do not ascend")
    if not all(map(math.isfinite, buckets)):
        raise ValueError(f"the buckets {list(buckets)} are not all finite: the last one is added to them")


def _told(family: _Family, metric: _Metric) -> float | Histogram:
    if family.kind is MetricKind.HISTOGRAM:
        return Histogram(metric.bounds, tuple(metric.counts), metric.value)
    return metric.value

"""Metrics as a backend, a response cache or the server tells them: families of numbers, as they are at one moment."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Histogram", "MetricFamily", "MetricKind", "MetricSample"]


class MetricKind(enum.Enum):
    """What the values of a family are; the value is the word of Prometheus' exposition format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Histogram:
    """Observations, sorted into buckets.

    Attributes:
        bounds: the upper bounds of the buckets, ascending, without the infinite one.
        counts: how many observations lie in each bucket, and in the infinite one; they are not added up.
        total: the sum of all observations.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


@dataclass(frozen=True)
class MetricSample:
    """One metric of a family.

    Attributes:
        labels: what tells it from the family's other metrics.
        value: its value; of a histogram the observations.
    """

    labels: Mapping[str, str]
    value: float | Histogram


@dataclass(frozen=True)
class MetricFamily:
    """Metrics of one name.

    Attributes:
        name: as Prometheus wants it.
        description: what they tell.
        kind: what their values are.
        samples: the metrics, each with other labels.
    """

    name: str
    description: str
    kind: MetricKind
    samples: Sequence[MetricSample]

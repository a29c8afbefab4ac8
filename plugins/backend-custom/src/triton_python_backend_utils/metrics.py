"""Metrics of a model's own: counters, gauges and histograms, which the server shows beside its own."""

from __future__ import annotations

import enum
import weakref
from typing import TYPE_CHECKING, ClassVar

from triton_python_backend_utils.errors import TritonModelException
from triton_python_backend_utils.place import calling_host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from triton_python_backend_utils.host import MetricValues

__all__ = ["Metric", "MetricFamily", "MetricKind"]


class MetricKind(enum.IntEnum):
    """What a family's metrics are."""

    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 2


class Metric:
    """One metric of a family. `MetricFamily.Metric` makes it; it vanishes with the last object that stands for it.

    Args:
        values: where the value is kept.
        family: the family's name.
        labels: what tells it from the family's other metrics.
        buckets: the upper bounds of a histogram's buckets, ascending.
    """

    def __init__(self, values: MetricValues, family: str, labels: Mapping[str, str], buckets: Sequence[float]) -> None:
        self._values = values
        self._family = family
        self._labels = dict(labels)
        values.add(family, self._labels, list(buckets))
        weakref.finalize(self, values.leave, family, self._labels).atexit = False

    def increment(self, value: float) -> None:
        """Add to a counter or gauge. Raises TritonModelException: a counter by less than 0, or a histogram."""
        self._values.apply(self._family, self._labels, "increment", value)

    def set(self, value: float) -> None:
        """Set a gauge. Raises TritonModelException: it is none."""
        self._values.apply(self._family, self._labels, "set", value)

    def observe(self, value: float) -> None:
        """Add an observation to a histogram. Raises TritonModelException: it is none."""
        self._values.apply(self._family, self._labels, "observe", value)

    def value(self) -> float:
        """Tell the value of a counter or gauge. Raises TritonModelException: it is a histogram."""
        return self._values.value(self._family, self._labels)


class MetricFamily:
    """Metrics of one name and kind. Several models and instances may make a family of one name: it is the same one.

    It vanishes with the last object that stands for it: keep it, in `self.family`, for example.

    Args:
        name: as Prometheus wants it: letters, digits, `_` and `:`.
        description: what the metrics tell; that of the first family of a name counts.
        kind: MetricFamily.COUNTER, GAUGE or HISTOGRAM.

    Raises:
        TypeError: there is no such kind.
        TritonModelException: the name is wrong, or a family of that name is of another kind; or there is no server.
    """

    COUNTER: ClassVar = MetricKind.COUNTER
    GAUGE: ClassVar = MetricKind.GAUGE
    HISTOGRAM: ClassVar = MetricKind.HISTOGRAM

    def __init__(self, name: str, description: str, kind: MetricKind) -> None:
        if not isinstance(kind, MetricKind):
            raise TypeError(
                f"the kind of the metric family {name!r} is {kind!r}: expected MetricFamily.COUNTER, GAUGE or HISTOGRAM"
            )
        self._values = calling_host("MetricFamily").metrics
        self._name = name
        self._kind = kind
        self._values.declare(name, description, kind)
        weakref.finalize(self, self._values.leave, name).atexit = False

    def Metric(  # noqa: N802 - the reference's name
        self, labels: Mapping[str, str] | None = None, buckets: Sequence[float] | None = None
    ) -> Metric:
        """Make a metric of the family. One with the labels of another is the same one.

        Args:
            labels: what tells it from the family's other metrics.
            buckets: the upper bounds of a histogram's buckets, ascending; only for a histogram, which needs them.

        Raises:
            TritonModelException: buckets where none belong, or none where they do; a label that is no text.
        """
        if buckets and self._kind is not MetricKind.HISTOGRAM:
            raise TritonModelException("Failed to create metric. Unexpected buckets found.")
        return Metric(self._values, self._name, labels or {}, buckets or ())

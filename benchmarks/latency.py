"""From the times at which requests began and ended to the figures of a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Load", "LoadError", "summarise"]

_WARM_UP = 0.1
"""The part of the time that is not counted: connections open, and a generator's threads start."""


class LoadError(Exception):
    """A load could not be generated, or was not answered as it should; the text says what happened."""


@dataclass(frozen=True)
class Load:
    """What a load generator saw.

    Attributes:
        requests: the requests sent, those of the warm-up included.
        mean_us: the mean latency, in microseconds.
        p50_us: the median latency.
        p99_us: the latency that one request in a hundred exceeds.
    """

    requests: int
    mean_us: float
    p50_us: float
    p99_us: float


def summarise(starts_ns: Sequence[int], ends_ns: Sequence[int]) -> Load:
    """Compute the figures of the requests that began after the first tenth of the time.

    Args:
        starts_ns: when each request was sent, in nanoseconds of any clock.
        ends_ns: when its response was complete.

    Raises:
        LoadError: there was no request at all.
    """
    if not len(starts_ns):
        raise LoadError("no request was answered in the time given: give more --seconds")
    starts = np.asarray(starts_ns, np.int64)
    ends = np.asarray(ends_ns, np.int64)
    begin = starts.min() + _WARM_UP * (ends.max() - starts.min())
    steady = starts >= begin
    if not steady.any():
        steady[:] = True
    latencies = (ends - starts)[steady] / 1_000
    p50, p99 = np.percentile(latencies, [50, 99])
    return Load(len(starts), float(latencies.mean()), float(p50), float(p99))

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
    """What a load generator saw, without its first tenth.

    Attributes:
        requests: the requests that were answered.
        begin_ns: when the time began that counts, by the system's clock, in nanoseconds.
        end_ns: when the last answer came.
        mean_us: the mean latency, in microseconds.
        p50_us: the median latency.
        p99_us: the latency that one request in a hundred exceeds.
    """

    requests: int
    begin_ns: int
    end_ns: int
    mean_us: float
    p50_us: float
    p99_us: float


def summarise(starts_ns: Sequence[int], ends_ns: Sequence[int]) -> Load:
    """Compute the figures of the requests that were answered after the first tenth of the time.

    Args:
        starts_ns: when each request was sent, by the system's clock (`time.time_ns`).
        ends_ns: when its response was complete.

    Raises:
        LoadError: there was no request at all.
    """
    if not len(starts_ns):
        raise LoadError("no request was answered in the time given: give more --seconds")
    starts = np.asarray(starts_ns, np.int64)
    ends = np.asarray(ends_ns, np.int64)
    begin, end = int(starts.min()), int(ends.max())
    begin += int(_WARM_UP * (end - begin))
    steady = ends >= begin
    latencies = (ends - starts)[steady] / 1_000
    p50, p99 = np.percentile(latencies, [50, 99])
    return Load(int(steady.sum()), begin, end, float(latencies.mean()), float(p50), float(p99))

"""What Linux tells about the machine and this process, where it is Linux; and the pinned memory, of which there is none."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Machine", "pinned_memory_metrics", "process_metrics"]

_IDLE_FIELDS = (3, 4)  # idle and waiting for a disk


class Machine:
    """The CPU and the memory. Used by one thread at a time.

    Args:
        interval_seconds: how old what is told may be; the CPU's utilisation is that since the last reading.
        proc: where Linux tells it.
    """

    def __init__(self, interval_seconds: float, proc: Path = Path("/proc")) -> None:
        self._interval = interval_seconds
        self._proc = proc
        self._read_at = time.monotonic()
        self._ticks = self._read_ticks()
        self._utilisation = 0.0

    def metrics(self) -> Iterator[Metric]:
        """Give the reference's metrics of CPU and memory, as far as they are known."""
        if self._ticks is not None:
            if time.monotonic() - self._read_at >= self._interval or not self._utilisation:
                self._measure()
            yield _gauge("nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", self._utilisation)
        memory = self._read_memory()
        if memory is not None:
            total, available = memory
            yield _gauge("nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", total)
            yield _gauge("nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", total - available)

    def _measure(self) -> None:
        before, self._ticks, self._read_at = self._ticks, self._read_ticks(), time.monotonic()
        if before is None or self._ticks is None:
            return
        busy, idle = self._ticks[0] - before[0], self._ticks[1] - before[1]
        if busy + idle > 0:
            self._utilisation = busy / (busy + idle)

    def _read_ticks(self) -> tuple[int, int] | None:
        """Read how long all CPUs were busy and idle since the machine's start, in ticks."""
        try:
            fields = [int(text) for text in (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        idle = sum(fields[place] for place in _IDLE_FIELDS)
        return sum(fields) - idle, idle

    def _read_memory(self) -> tuple[int, int] | None:
        """Read how much memory there is, and how much could be had, in bytes."""
        try:
            lines = (self._proc / "meminfo").read_text().splitlines()
            sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
            return sizes["MemTotal"], sizes["MemAvailable"]
        except (OSError, ValueError, KeyError, IndexError):
            return None


def process_metrics(proc: Path = Path("/proc")) -> Iterator[Metric]:
    """Tell about this process, under the names that Prometheus gives to what every process has."""
    try:
        resident = int((proc / "self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        resident = 0
    if resident:
        yield _gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident)
    seconds = time.process_time()
    metric = Metric("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter")
    metric.add_sample(metric.name, {}, seconds)
    yield metric


def pinned_memory_metrics() -> Iterator[Metric]:
    """Tell of the reference's pool of pinned memory, which is not needed here: one of no bytes."""
    yield _gauge("nv_pinned_memory_pool_total_bytes", "Pinned memory pool total memory size, in bytes", 0)
    yield _gauge("nv_pinned_memory_pool_used_bytes", "Pinned memory pool used memory size, in bytes", 0)


def _gauge(name: str, description: str, value: float) -> Metric:
    metric = Metric(name, description, "gauge")
    metric.add_sample(name, {}, value)
    return metric

"""What a model version has done, in plain integers.

The fields and their meaning are the reference's statistics extension; durations are in nanoseconds.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

__all__ = ["BatchStatistics", "Duration", "ModelStatistics", "StatisticsSnapshot"]


@dataclass
class Duration:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        """Count `count` more, which took `ns` nanoseconds together."""
        self.count += count
        self.ns += ns

    def copy(self) -> Duration:
        """Give the values as they are now."""
        return Duration(self.count, self.ns)


@dataclass
class BatchStatistics:
    """Executions of one batch size, failing ones included."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


@dataclass(frozen=True)
class StatisticsSnapshot:
    """The counters of one model version at one moment.

    Attributes:
        last_inference_ms: time of the last execution in milliseconds since the epoch; 0 before the first.
        inference_count: successful inferences; a request counts as many as its batch size.
        execution_count: executions, failing ones included.
        success, fail: finished requests, from arrival to the final response.
        queue: successful requests, from entering the queue to the start of their execution.
        compute_input, compute_infer, compute_output: the whole batch's durations, once for each successful request in it.
        cache_hit, cache_miss: look-ups of the response cache.
        batches: by batch size, ascending.
        pending: requests in the queue.
        in_flight: requests accepted and not yet finished.
    """

    last_inference_ms: int
    inference_count: int
    execution_count: int
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration
    batches: dict[int, BatchStatistics]
    pending: int = 0
    in_flight: int = 0


class ModelStatistics:
    """The live counters of one model version. Any thread may count; `snapshot` gives a consistent view."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._last_inference_ms = 0
        self._inference_count = 0
        self._execution_count = 0
        self._success = Duration()
        self._fail = Duration()
        self._queue = Duration()
        self._compute = BatchStatistics()
        self._batches: dict[int, BatchStatistics] = {}

    def count_success(self, *, total_ns: int, queue_ns: int, inferences: int) -> None:
        """Count a request that was answered well."""
        with self._lock:
            self._inference_count += inferences
            self._success.add(total_ns)
            self._queue.add(queue_ns)

    def count_failure(self, *, total_ns: int) -> None:
        """Count an accepted request that ended with an error."""
        with self._lock:
            self._fail.add(total_ns)

    def count_execution(self, *, batch_size: int, successes: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """Count one execution of a batch; `successes` is the number of its requests that were answered well."""
        with self._lock:
            self._execution_count += 1
            self._last_inference_ms = time.time_ns() // 1_000_000
            of_size = self._batches.get(batch_size)
            if of_size is None:
                of_size = self._batches[batch_size] = BatchStatistics()
            of_size.compute_input.add(input_ns)
            of_size.compute_infer.add(infer_ns)
            of_size.compute_output.add(output_ns)
            if successes:
                self._compute.compute_input.add(input_ns * successes, successes)
                self._compute.compute_infer.add(infer_ns * successes, successes)
                self._compute.compute_output.add(output_ns * successes, successes)

    def snapshot(self, *, pending: int = 0, in_flight: int = 0) -> StatisticsSnapshot:
        """Give all counters as they are at this moment; the two gauges are the caller's knowledge."""
        with self._lock:
            return StatisticsSnapshot(
                last_inference_ms=self._last_inference_ms,
                inference_count=self._inference_count,
                execution_count=self._execution_count,
                success=self._success.copy(),
                fail=self._fail.copy(),
                queue=self._queue.copy(),
                compute_input=self._compute.compute_input.copy(),
                compute_infer=self._compute.compute_infer.copy(),
                compute_output=self._compute.compute_output.copy(),
                cache_hit=Duration(),
                cache_miss=Duration(),
                batches={
                    size: BatchStatistics(
                        batch.compute_input.copy(), batch.compute_infer.copy(), batch.compute_output.copy()
                    )
                    for size, batch in sorted(self._batches.items())
                },
                pending=pending,
                in_flight=in_flight,
            )

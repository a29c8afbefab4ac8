"""What a model version has done, in plain integers.

The fields and their meaning are the reference's statistics extension; durations are in nanoseconds.
"""

from __future__ import annotations

import threading
import time
import weakref
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from charonia.distribution import SLOTS, Buckets, Distribution, slot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["BatchStatistics", "Distributions", "Duration", "FailureReason", "ModelStatistics", "StatisticsSnapshot"]


class FailureReason(StrEnum):
    """Why an accepted request failed, by the reference's words."""

    REJECTED = "REJECTED"
    """The queue would not keep it any longer."""
    CANCELED = "CANCELED"
    """Its caller took it back."""
    BACKEND = "BACKEND"
    """Its execution had begun."""
    OTHER = "OTHER"


@dataclass(frozen=True)
class Duration:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.count + other.count, self.ns + other.ns)


@dataclass(frozen=True)
class BatchStatistics:
    """Executions of one batch size, failing ones included."""

    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration

    def __add__(self, other: BatchStatistics) -> BatchStatistics:
        return BatchStatistics(
            self.compute_input + other.compute_input,
            self.compute_infer + other.compute_infer,
            self.compute_output + other.compute_output,
        )


@dataclass(frozen=True)
class Distributions:
    """How the durations of the same names in `StatisticsSnapshot` are distributed."""

    success: Distribution
    queue: Distribution
    compute_input: Distribution
    compute_infer: Distribution
    compute_output: Distribution
    cache_hit: Distribution
    cache_miss: Distribution

    def __add__(self, other: Distributions) -> Distributions:
        return Distributions(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


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
        cache_hit: requests that the response cache answered: the time of the look-up.
        cache_miss: requests that it could not answer: the time of the look-up, and of keeping the response.
        batches: by batch size, ascending.
        batch_reasons: how many executions' batches were closed for which reason (`charonia.scheduler.BatchReason`).
        failures: how many of the failed requests failed for which reason.
        distributions: the durations by how long they were.
        first_response: from a request's arrival to its first response, where the model may give it any number of them.
        pending: requests in the queue.
        in_flight: requests accepted and not yet finished.
        host_byte_size: how many bytes of this machine's memory the version takes; see `charonia.model.Model.host_byte_size`.
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
    batch_reasons: dict[str, int]
    failures: dict[FailureReason, int]
    distributions: Distributions
    first_response: Buckets
    pending: int = 0
    in_flight: int = 0
    host_byte_size: int = 0

    def __add__(self, other: StatisticsSnapshot) -> StatisticsSnapshot:
        """Tell of an earlier and a later load of a version together. The memory is the later one's, since the other one goes."""
        return replace(
            other,
            last_inference_ms=max(self.last_inference_ms, other.last_inference_ms),
            inference_count=self.inference_count + other.inference_count,
            execution_count=self.execution_count + other.execution_count,
            success=self.success + other.success,
            fail=self.fail + other.fail,
            queue=self.queue + other.queue,
            compute_input=self.compute_input + other.compute_input,
            compute_infer=self.compute_infer + other.compute_infer,
            compute_output=self.compute_output + other.compute_output,
            cache_hit=self.cache_hit + other.cache_hit,
            cache_miss=self.cache_miss + other.cache_miss,
            batches=dict(sorted(_merged(self.batches, other.batches).items())),
            batch_reasons=dict(sorted(_merged(self.batch_reasons, other.batch_reasons).items())),
            failures=_merged(self.failures, other.failures),
            distributions=self.distributions + other.distributions,
            first_response=self.first_response + other.first_response,
            pending=self.pending + other.pending,
            in_flight=self.in_flight + other.in_flight,
        )


_Key = TypeVar("_Key")
_Counted = TypeVar("_Counted", int, BatchStatistics)


def _merged(one: Mapping[_Key, _Counted], other: Mapping[_Key, _Counted]) -> dict[_Key, _Counted]:
    merged = dict(one)
    for key, counted in other.items():
        merged[key] = merged[key] + counted if key in merged else counted
    return merged


class _Phases:
    """The three phases of executions, as they add up: input, infer, output."""

    __slots__ = ("count", "infer_ns", "input_ns", "output_ns")

    def __init__(self) -> None:
        self.count = self.input_ns = self.infer_ns = self.output_ns = 0

    def add(self, other: _Phases, times: int = 1) -> None:
        """Add others, so many times."""
        self.count += other.count * times
        self.input_ns += other.input_ns * times
        self.infer_ns += other.infer_ns * times
        self.output_ns += other.output_ns * times

    def frozen(self) -> BatchStatistics:
        return BatchStatistics(
            Duration(self.count, self.input_ns),
            Duration(self.count, self.infer_ns),
            Duration(self.count, self.output_ns),
        )


class ModelStatistics:
    """The live counters of one load of a model version. Any thread may count; `snapshot` gives a consistent view.

    Counting is on the path of every request: it adds plain integers under one lock, and everything else is left to `snapshot`.

    Attributes:
        finished: whether nothing more will be counted; to be set by whoever knows.

    Args:
        first_response_bounds_ms: the upper bounds of the buckets for `count_first_response`, in milliseconds, ascending.
    """

    def __init__(self, first_response_bounds_ms: Sequence[float] = ()) -> None:
        # what finished loads have counted together, and the loads that may still count; set before anybody sees this one
        self._before: tuple[StatisticsSnapshot | None, Sequence[ModelStatistics]] = None, ()
        self._gauges: Callable[[], Callable[[], tuple[int, int]] | None] | None = None
        self.finished = False
        self._first_response_bounds_ms = tuple(first_response_bounds_ms)
        self._lock = threading.Lock()  # guards all below
        self._last_inference_ns = 0
        self._inference_count = 0
        self._success_count = self._success_ns = self._queue_ns = 0
        self._fail_count = self._fail_ns = 0
        self._cache_hit_count = self._cache_hit_ns = self._cache_miss_count = self._cache_miss_ns = 0
        # by batch size, by why the batch was closed, and by how many of its requests were answered well
        self._executions: dict[tuple[int, str, int], _Phases] = {}
        self._failures = dict.fromkeys(FailureReason, 0)
        self._success_slots, self._queue_slots = [0] * SLOTS, [0] * SLOTS
        self._input_slots, self._infer_slots, self._output_slots = [0] * SLOTS, [0] * SLOTS, [0] * SLOTS
        self._hit_slots, self._miss_slots = [0] * SLOTS, [0] * SLOTS
        self._first_response_counts, self._first_response_ns = [0] * (len(self._first_response_bounds_ms) + 1), 0

    def count_success(self, *, total_ns: int, queue_ns: int, inferences: int) -> None:
        """Count a request that was answered well; `inferences` is 0 where nothing was executed for it."""
        with self._lock:
            self._inference_count += inferences
            self._success_count += 1
            self._success_ns += total_ns
            self._queue_ns += queue_ns
            self._success_slots[slot_of(total_ns)] += 1
            self._queue_slots[slot_of(queue_ns)] += 1

    def count_failure(self, *, total_ns: int, reason: FailureReason) -> None:
        """Count an accepted request that ended with an error."""
        with self._lock:
            self._fail_count += 1
            self._fail_ns += total_ns
            self._failures[reason] += 1

    def count_first_response(self, *, ns: int) -> None:
        """Count the first of a request's responses, so many nanoseconds after its arrival."""
        bucket = bisect_left(self._first_response_bounds_ms, ns / 1_000_000)
        with self._lock:
            self._first_response_counts[bucket] += 1
            self._first_response_ns += ns

    def count_cache_hit(self, *, ns: int) -> None:
        """Count a request that the response cache answered."""
        with self._lock:
            self._cache_hit_count += 1
            self._cache_hit_ns += ns
            self._hit_slots[slot_of(ns)] += 1

    def count_cache_miss(self, *, ns: int) -> None:
        """Count a request that the response cache could not answer."""
        with self._lock:
            self._cache_miss_count += 1
            self._cache_miss_ns += ns
            self._miss_slots[slot_of(ns)] += 1

    def count_execution(
        self, *, batch_size: int, reason: str, successes: int, input_ns: int, infer_ns: int, output_ns: int
    ) -> None:
        """Count one execution of a batch; `successes` is the number of its requests that were answered well."""
        kind = (batch_size, reason, successes)
        now = time.time_ns()
        with self._lock:
            self._last_inference_ns = now
            phases = self._executions.get(kind)
            if phases is None:
                phases = self._executions[kind] = _Phases()
            phases.count += 1
            phases.input_ns += input_ns
            phases.infer_ns += infer_ns
            phases.output_ns += output_ns
            self._input_slots[slot_of(input_ns)] += successes
            self._infer_slots[slot_of(infer_ns)] += successes
            self._output_slots[slot_of(output_ns)] += successes

    def snapshot(self, *, pending: int = 0, in_flight: int = 0, host_byte_size: int = 0) -> StatisticsSnapshot:
        """Give all counters as they are at this moment; the three gauges are the caller's knowledge."""
        with self._lock:
            whole, batches, reasons = _Phases(), defaultdict[int, _Phases](_Phases), Counter[str]()
            for (batch_size, reason, successes), phases in self._executions.items():
                whole.add(phases, successes)
                batches[batch_size].add(phases)
                reasons[str(reason)] += phases.count
            compute = whole.frozen()
            return StatisticsSnapshot(
                last_inference_ms=self._last_inference_ns // 1_000_000,
                inference_count=self._inference_count,
                execution_count=reasons.total(),
                success=Duration(self._success_count, self._success_ns),
                fail=Duration(self._fail_count, self._fail_ns),
                queue=Duration(self._success_count, self._queue_ns),
                compute_input=compute.compute_input,
                compute_infer=compute.compute_infer,
                compute_output=compute.compute_output,
                cache_hit=Duration(self._cache_hit_count, self._cache_hit_ns),
                cache_miss=Duration(self._cache_miss_count, self._cache_miss_ns),
                batches={size: phases.frozen() for size, phases in sorted(batches.items())},
                batch_reasons=dict(sorted(reasons.items())),
                failures=dict(self._failures),
                distributions=self._distributions(compute),
                first_response=Buckets(
                    self._first_response_bounds_ms, tuple(self._first_response_counts), self._first_response_ns
                ),
                pending=pending,
                in_flight=in_flight,
                host_byte_size=host_byte_size,
            )

    def _distributions(self, compute: BatchStatistics) -> Distributions:
        return Distributions(
            success=Distribution(tuple(self._success_slots), self._success_ns),
            queue=Distribution(tuple(self._queue_slots), self._queue_ns),
            compute_input=Distribution(tuple(self._input_slots), compute.compute_input.ns),
            compute_infer=Distribution(tuple(self._infer_slots), compute.compute_infer.ns),
            compute_output=Distribution(tuple(self._output_slots), compute.compute_output.ns),
            cache_hit=Distribution(tuple(self._hit_slots), self._cache_hit_ns),
            cache_miss=Distribution(tuple(self._miss_slots), self._cache_miss_ns),
        )

    # -- loads one after the other

    def follow(self, earlier: ModelStatistics, gauges: Callable[[], tuple[int, int]]) -> None:
        """Have `running` go on from the load that this one replaces. To be called once, before anybody sees this one.

        Args:
            earlier: what that load counts.
            gauges: a method that tells how many of its requests wait, and how many are in flight, while its object lives.
        """
        earlier._gauges = weakref.WeakMethod(gauges)
        told, loads = earlier._before
        unfinished = []
        for load in (*loads, earlier):
            if load.finished:
                snapshot = load.snapshot()
                told = snapshot if told is None else told + snapshot
            else:
                unfinished.append(load)
        self._before = told, unfinished

    def running(self, now: StatisticsSnapshot) -> StatisticsSnapshot:
        """Tell of this load, as `now` does, and of all those before it together, which may still finish some requests."""
        told, loads = self._before
        for snapshot in [*([] if told is None else [told]), *(load.finishing() for load in loads)]:
            now = snapshot + now
        return now

    def finishing(self) -> StatisticsSnapshot:
        """Tell of a load that was replaced, with what it still has to do."""
        gauges = None if self._gauges is None else self._gauges()
        pending, in_flight = (0, 0) if gauges is None else gauges()
        return self.snapshot(pending=pending, in_flight=in_flight)

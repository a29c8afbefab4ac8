"""A batch: the requests that one execution answers, with the times of its phases."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from charonia.mailbox import Wakeups
from charonia.request import BATCH_REASON, InferenceRequest
from charonia.scheduler import BatchReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.request import InferenceResponse
    from charonia.statistics import ModelStatistics
    from charonia.trace import Trace

__all__ = ["Batch", "NullRequest"]


class NullRequest(InferenceRequest):
    """A request that nobody has asked. It fills a place of a batch, is executed as any other, and is in no statistic."""

    __slots__ = ()


class Batch:
    """The requests of one execution. Made by an instance, used by its execution, on one thread at a time.

    Attributes:
        requests: at least one, in the order of the queue.
        size: the sum of the batch sizes of those requests that somebody has asked.
        reason: why no further request joined the batch, a `charonia.scheduler.BatchReason` or a scheduler's own.
        counted: whether the execution is in the statistics already.
        trace: that of the first request that is traced, or None.
    """

    __slots__ = (
        "_computed_ns",
        "_end",
        "_gathered_ns",
        "_started_ns",
        "_statistics",
        "counted",
        "reason",
        "requests",
        "size",
        "trace",
    )

    def __init__(
        self, requests: list[InferenceRequest], statistics: ModelStatistics, reason: str = BatchReason.UNBATCHED
    ) -> None:
        self.requests = requests
        self.reason = reason
        self._statistics = statistics
        self._started_ns = self._gathered_ns = self._computed_ns = now = time.monotonic_ns()
        self._end: threading.Lock | None = None
        self.counted = False
        self.trace: Trace | None = None
        self.size = 0
        for request in requests:
            request.started_ns = now
            if not isinstance(request, NullRequest):
                self.size += request.batch_size
            if request.trace is not None and self.trace is None:
                self.trace = request.trace
            if request.parameters and request.parameters.get(BATCH_REASON):
                request.batch_reason = str(reason)

    def mark_compute_start(self, at_ns: int | None = None) -> None:
        """Say that the inputs are ready and the model starts to compute. Optional; it splits the times in the statistics.

        Args:
            at_ns: when that was, by `time.monotonic_ns`; now if not given.
        """
        self._gathered_ns = self._computed_ns = time.monotonic_ns() if at_ns is None else at_ns

    def mark_compute_end(self, at_ns: int | None = None) -> None:
        """Say that the model has computed and the outputs are being made; `at_ns` as in `mark_compute_start`."""
        self._computed_ns = time.monotonic_ns() if at_ns is None else at_ns

    def outlast(self) -> None:
        """Say that the execution goes on after `execute` has returned, until `end` is called."""
        self._end = threading.Lock()
        self._end.acquire()

    def end(self) -> None:
        """Say that an execution that outlasts `execute` is over, whether or not its requests are answered. On any thread."""
        end, self._end = self._end, None
        if end is not None:
            end.release()

    def await_end(self) -> None:
        """Wait until the execution is over. `execute` has returned. What the thread holds back is sent before."""
        end = self._end
        if end is not None:
            Wakeups.of_this_thread().send()
            end.acquire()

    def respond_all(self, responses: Sequence[InferenceResponse | None]) -> None:
        """Answer every request with the response at its place. The execution is counted before anyone learns of it.

        Args:
            responses: None for a request that is to be executed once more: see `InferenceRequest.reschedule`.

        Raises:
            ValueError: there are more or fewer responses than requests.
        """
        if len(responses) != len(self.requests):
            raise ValueError(f"{len(responses)} responses for {len(self.requests)} requests")
        successes = 0
        for request, response in zip(self.requests, responses, strict=True):
            failed = response is not None and response.error is not None
            if not (failed or request.cancelled or isinstance(request, NullRequest)):
                successes += 1
        self.count(successes)
        for request, response in zip(self.requests, responses, strict=True):
            if response is None:
                request.reschedule()
            else:
                request.respond(response)

    @property
    def answered(self) -> bool:
        """Whether every request has its final response, or has been given back to be executed once more."""
        for request in self.requests:  # noqa: SIM110 - a generator would cost as much as all else here
            if not (request.done or request.rescheduled):
                return False
        return True

    def fail_all(self, error: BaseException) -> None:
        """Answer every request that is not answered yet with an error."""
        self.count(successes=0)
        for request in self.requests:
            request.fail(error)

    @property
    def successes(self) -> int:
        """How many requests that somebody has asked, and not taken back, have not failed.

        A turn that was followed by another one is no failure.
        """
        return sum(
            [not (request.failed or request.cancelled or isinstance(request, NullRequest)) for request in self.requests]
        )

    def count(self, successes: int) -> None:
        """Add this execution to the model's statistics; only the first call does."""
        if self.counted:
            return
        self.counted = True
        computed = self._computed_ns if self._computed_ns > self._gathered_ns else time.monotonic_ns()
        input_ns = self._gathered_ns - self._started_ns
        infer_ns = computed - self._gathered_ns
        output_ns = time.monotonic_ns() - computed
        for request in self.requests:
            request.compute_ns = (input_ns, infer_ns, output_ns)
        self._statistics.count_execution(
            batch_size=self.size,
            reason=self.reason,
            successes=successes,
            input_ns=input_ns,
            infer_ns=infer_ns,
            output_ns=output_ns,
        )

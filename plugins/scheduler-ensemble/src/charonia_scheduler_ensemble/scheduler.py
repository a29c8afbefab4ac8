"""The scheduler of ensembles: it answers a request by asking the models of the ensemble's steps."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from charonia.config import composing_models
from charonia.errors import CancelledError, UnavailableError
from charonia.scheduler import FormedBatch, Scheduler, SchedulerContext

from charonia_scheduler_ensemble.limit import WaveLimit
from charonia_scheduler_ensemble.plan import Plan
from charonia_scheduler_ensemble.run import Run

if TYPE_CHECKING:
    from collections.abc import Hashable

    from charonia.request import InferenceRequest

__all__ = ["EnsembleScheduler"]


class EnsembleScheduler(Scheduler):
    """Answers requests by those that it makes to other models. It has no thread: each step begins where its last input is made.

    With `max_inflight_requests`, so many requests at most are in progress; what comes while there are as many waits for its
    turn, with nothing but its inputs in memory.
    """

    answers_itself = True

    def __init__(self, context: SchedulerContext) -> None:
        super().__init__(context)
        config = context.config
        self._used = composing_models(config)
        self._plan = Plan(config, [context.models.model_config(*model) for model in self._used])
        self._most = config.ensemble_scheduling.max_inflight_requests
        self._limit = WaveLimit(config.name, self._most, context.clock) if self._most else None
        self._lock = threading.Lock()  # guards all below
        self._in_progress = 0
        self._queue: deque[InferenceRequest] = deque()
        self._beginning = False  # whether some thread begins with what waits: one does at a time, and not within itself
        self._closed = False

    def enqueue(self, request: InferenceRequest) -> None:
        """Begin with the request's first steps, or let it wait until fewer others are in progress."""
        with self._lock:
            if self._closed:
                raise UnavailableError(
                    f"[request id: {request.id or '<id_unknown>'}] Server is stopping, scheduler for model has stopped "
                    "accepting new inference requests"
                )
            if self._most and (self._queue or self._in_progress >= self._most):
                self._queue.append(request)
                return
            self._in_progress += 1
        self._begin(request)

    def _begin(self, request: InferenceRequest) -> None:
        if self._limit is None:
            Run(self._plan, self.context.models, request).start()
        else:
            Run(self._plan, self.context.models, request, self._limit, self._end).start()

    def _end(self) -> None:
        """Take note that a request is answered, and begin with those that may come in its place."""
        with self._lock:
            self._in_progress -= 1
            if self._beginning:
                return
            self._beginning = True
        while (request := self._next()) is not None:
            if request.cancelled:
                request.fail(CancelledError(""))
                self._end()
            else:
                self._begin(request)

    def _next(self) -> InferenceRequest | None:
        """Give the next request that has a place now. None, and let others begin, if there is none."""
        with self._lock:
            if self._queue and self._in_progress < self._most:
                self._in_progress += 1
                return self._queue.popleft()
            self._beginning = False
            return None

    def next_batch(self, instance: Hashable) -> FormedBatch | None:
        """Give nothing: there are no instances that could ask."""
        return None

    def close(self) -> None:
        """Refuse new requests; those that were taken go on."""
        with self._lock:
            self._closed = True

    @property
    def pending(self) -> int:
        """How many requests wait for others to end."""
        return len(self._queue)

    @property
    def ready(self) -> bool:
        """Whether the models of all steps can answer now."""
        return all(self.context.models.can_serve(*model) for model in dict.fromkeys(self._used))

    def confirm_ready(self) -> bool:
        """Ask the models of all steps whether they are ready."""
        return all(self.context.models.model_ready(*model) for model in dict.fromkeys(self._used))

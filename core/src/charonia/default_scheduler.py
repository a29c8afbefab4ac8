"""The scheduler of models that choose none: first in, first out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from charonia.hand_over import HandOverScheduler
from charonia.scheduler import BatchReason, FormedBatch, SchedulerContext

if TYPE_CHECKING:
    from collections.abc import Hashable

    from charonia.request import InferenceRequest

__all__ = ["DefaultScheduler"]


def _alone(request: InferenceRequest) -> FormedBatch:
    return FormedBatch([request], BatchReason.UNBATCHED)


class DefaultScheduler(HandOverScheduler):
    """First in, first out; each request is an execution of its own, on the first free instance, as in the reference.

    Requests are never merged, also where max_batch_size is above 1, and there is neither a limit nor a time-out of the queue.
    """

    def __init__(self, context: SchedulerContext) -> None:
        super().__init__(context)
        self._queue: deque[InferenceRequest] = deque()

    def enqueue(self, request: InferenceRequest) -> None:
        """Hand the request to a waiting instance, or queue it."""
        with self._lock:
            self._check_open(request)
            if self._idle:
                self._idle.pop().hand_over(_alone(request))
            else:
                self._queue.append(request)

    def next_batch(self, instance: Hashable) -> FormedBatch | None:
        """Wait for one request."""
        with self._lock:
            if self._leaving and instance in self._leaving:
                self._let_go(instance)
                return None
            if self._queue:
                return _alone(self._queue.popleft())
            if self._closed:
                return None
            waiter = self._join(instance)
        return waiter.wait()

    def ready_batch(self, instance: Hashable) -> FormedBatch | None:
        """Give the first request of the queue, if there is one."""
        with self._lock:
            return _alone(self._queue.popleft()) if self._queue and instance not in self._leaving else None

    def close(self) -> None:
        """Refuse new requests; waiting instances have nothing more to do."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().hand_over(None)

    @property
    def pending(self) -> int:
        """How many requests wait for an instance."""
        return len(self._queue)

    def borrow(self) -> Hashable | None:
        """Give a waiting instance, if there is one: then nobody queues, so that nobody is overtaken."""
        with self._lock:
            return self._idle.pop().instance if self._idle else None

    def give_back(self, instance: Hashable) -> None:
        """Let the instance wait again, or wake its thread for what has come meanwhile."""
        with self._lock:
            waiter = self._waiters[instance]
            if self._queue and instance not in self._leaving:
                waiter.hand_over(_alone(self._queue.popleft()))
            elif self._closed:
                waiter.hand_over(None)
            else:
                self._rest(waiter)

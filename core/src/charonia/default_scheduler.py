"""The scheduler of models that choose none: first in, first out."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from charonia.errors import UnavailableError
from charonia.scheduler import BatchReason, FormedBatch, Scheduler, SchedulerContext

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest

__all__ = ["DefaultScheduler"]


class _Waiter:
    """An instance's thread that waits for work. `wake` is released by exactly one hand-over of a batch."""

    __slots__ = ("batch", "instance", "wake")

    def __init__(self, instance: Hashable) -> None:
        self.instance = instance
        self.batch: FormedBatch | None = None
        self.wake = threading.Lock()
        self.wake.acquire()

    def hand_over(self, batch: FormedBatch | None) -> None:
        self.batch = batch
        self.wake.release()


def _alone(request: InferenceRequest) -> FormedBatch:
    return FormedBatch([request], BatchReason.UNBATCHED)


class DefaultScheduler(Scheduler):
    """First in, first out; each request is an execution of its own, on the first free instance, as in the reference.

    Requests are never merged, also where max_batch_size is above 1, and there is neither a limit nor a time-out of the queue.
    """

    resizable = True

    def __init__(self, context: SchedulerContext) -> None:
        super().__init__(context)
        self._lock = threading.Lock()  # guards all below
        self._queue: deque[InferenceRequest] = deque()
        self._idle: list[_Waiter] = []  # a stack: the instance that worked last is the warmest
        self._waiters: dict[Hashable, _Waiter] = {}
        self._instances: frozenset[Hashable] = frozenset()
        self._leaving: set[Hashable] = set()  # those that are to learn that there is no more work for them
        self._closed = False

    def attach(self, instances: Sequence[Hashable]) -> None:
        """Learn who will ask for work."""
        self._instances = frozenset(instances)

    def resize(self, config: ModelConfig, instances: Sequence[Hashable]) -> None:
        """Let those that are not there any more go: at once where they wait, else when they ask again."""
        with self._lock:
            self._leaving |= self._instances.difference(instances)
            self._instances = frozenset(instances)
            waiting, self._idle = self._idle, []
            for waiter in waiting:
                self._rest(waiter)

    def _rest(self, waiter: _Waiter) -> None:
        """Let an instance wait for work, or go if it is not wanted any more."""
        if waiter.instance in self._leaving:
            self._let_go(waiter.instance)
            waiter.hand_over(None)
        else:
            self._idle.append(waiter)

    def _let_go(self, instance: Hashable) -> None:
        self._leaving.discard(instance)
        self._waiters.pop(instance, None)

    def enqueue(self, request: InferenceRequest) -> None:
        """Hand the request to a waiting instance, or queue it."""
        with self._lock:
            if self._closed:
                raise UnavailableError(
                    f"[request id: {request.id or '<id_unknown>'}] Server is stopping, scheduler for model has stopped "
                    "accepting new inference requests"
                )
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
            waiter = self._waiters.get(instance)
            if waiter is None:
                waiter = self._waiters[instance] = _Waiter(instance)
            self._idle.append(waiter)
        waiter.wake.acquire()
        batch, waiter.batch = waiter.batch, None
        return batch

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

"""The interface of schedulers, and the default one.

A scheduler decides which requests are executed together, and when. It owns the queue of one model version and no thread:
each instance's thread asks it for the next batch.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

from charonia.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest

__all__ = ["DefaultScheduler", "Scheduler", "scheduler_name"]

DEFAULT = "default"
DYNAMIC = "dynamic_batching"


class Scheduler(ABC):
    """The queue of one model version, and the rules by which it becomes batches.

    The core calls `enqueue` from any thread and `next_batch` from one thread per instance. A request that `enqueue` took
    belongs to the scheduler until it is given out or answered; if `enqueue` raises, the request is still the caller's.

    Args:
        config: the model's configuration, complete and normalised.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    @abstractmethod
    def enqueue(self, request: InferenceRequest) -> None:
        """Take a request. Does not block.

        Raises:
            UnavailableError: the queue is full, or closed.
        """

    @abstractmethod
    def next_batch(self, instance: Hashable) -> list[InferenceRequest] | None:
        """Wait until there is work for this instance, and give it. None when the scheduler is closed and its queue empty.

        Cancelled requests may be among the batch: the instance drops them.
        """

    def ready_batch(self, instance: Hashable) -> list[InferenceRequest] | None:
        """Give work for this instance that is there at once, without waiting.

        None where there is none, or where this scheduler cannot tell (the default): then the instance asks `next_batch`.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Refuse new requests and wake every waiting instance. What is queued is still given out. Idempotent."""

    @property
    @abstractmethod
    def pending(self) -> int:
        """How many requests wait in the queue."""

    def borrow(self) -> Hashable | None:
        """Give an instance that waits for work, to a caller that will execute one request on it in its own thread.

        None where there is no such instance, where others wait already, or where this scheduler always queues (the default).
        Whoever borrowed an instance gives it back.
        """
        return None

    def give_back(self, instance: Hashable) -> None:
        """Take back an instance that `borrow` gave."""


class _Waiter:
    """An instance's thread that waits for work. `wake` is released by exactly one hand-over of a batch."""

    __slots__ = ("batch", "instance", "wake")

    def __init__(self, instance: Hashable) -> None:
        self.instance = instance
        self.batch: list[InferenceRequest] | None = None
        self.wake = threading.Lock()
        self.wake.acquire()

    def hand_over(self, batch: list[InferenceRequest] | None) -> None:
        self.batch = batch
        self.wake.release()


class DefaultScheduler(Scheduler):
    """First in, first out; each request is an execution of its own, on the first free instance, as in the reference.

    Requests are never merged, also where max_batch_size is above 1, and there is neither a limit nor a time-out of the queue.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self._lock = threading.Lock()  # guards all below
        self._queue: deque[InferenceRequest] = deque()
        self._idle: list[_Waiter] = []  # a stack: the instance that worked last is the warmest
        self._waiters: dict[Hashable, _Waiter] = {}
        self._closed = False

    def enqueue(self, request: InferenceRequest) -> None:
        """Hand the request to a waiting instance, or queue it."""
        with self._lock:
            if self._closed:
                raise UnavailableError(
                    f"[request id: {request.id or '<id_unknown>'}] Server is stopping, scheduler for model has stopped "
                    "accepting new inference requests"
                )
            if self._idle:
                self._idle.pop().hand_over([request])
            else:
                self._queue.append(request)

    def next_batch(self, instance: Hashable) -> list[InferenceRequest] | None:
        """Wait for one request."""
        with self._lock:
            if self._queue:
                return [self._queue.popleft()]
            if self._closed:
                return None
            waiter = self._waiters.get(instance)
            if waiter is None:
                waiter = self._waiters[instance] = _Waiter(instance)
            self._idle.append(waiter)
        waiter.wake.acquire()
        batch, waiter.batch = waiter.batch, None
        return batch

    def ready_batch(self, instance: Hashable) -> list[InferenceRequest] | None:
        """Give the first request of the queue, if there is one."""
        with self._lock:
            return [self._queue.popleft()] if self._queue else None

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
            if self._queue:
                waiter.hand_over([self._queue.popleft()])
            elif self._closed:
                waiter.hand_over(None)
            else:
                self._idle.append(waiter)


def scheduler_name(config: ModelConfig) -> str:
    """Tell which scheduler a configuration asks for: the parameter `scheduler`, the section it has, else "default"."""
    if "scheduler" in config.parameters:
        return config.parameters["scheduler"].string_value
    return config.WhichOneof("scheduling_choice") or DEFAULT

"""What schedulers have in common whose instances wait until a batch is handed over to them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from charonia.errors import UnavailableError
from charonia.scheduler import FormedBatch, Scheduler, SchedulerContext

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest

__all__ = ["HandOverScheduler", "Waiter"]


class Waiter:
    """An instance's thread that waits for work. `wake` is released by exactly one hand-over."""

    __slots__ = ("batch", "instance", "wake")

    def __init__(self, instance: Hashable) -> None:
        self.instance = instance
        self.batch: FormedBatch | None = None
        self.wake = threading.Lock()
        self.wake.acquire()

    def hand_over(self, batch: FormedBatch | None) -> None:
        """Let the thread go on with a batch, or with None, which tells that there is no more work."""
        self.batch = batch
        self.wake.release()

    def wait(self) -> FormedBatch | None:
        """Wait for the hand-over; without the scheduler's lock."""
        self.wake.acquire()
        batch, self.batch = self.batch, None
        return batch


class HandOverScheduler(Scheduler):
    """Knows which instances there are, which of them wait, and which are to go.

    A subclass has the queue. `_lock` guards it, and what is here; its methods with an underscore are called while it is held.
    """

    resizable = True

    def __init__(self, context: SchedulerContext) -> None:
        super().__init__(context)
        self._lock = threading.Lock()  # guards all below
        self._idle: list[Waiter] = []  # a stack: the instance that worked last is the warmest
        self._waiters: dict[Hashable, Waiter] = {}
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

    def _rest(self, waiter: Waiter) -> None:
        """Let an instance wait for work, or go if it is not wanted any more."""
        if waiter.instance in self._leaving:
            self._let_go(waiter.instance)
            waiter.hand_over(None)
        else:
            self._idle.append(waiter)

    def _let_go(self, instance: Hashable) -> None:
        """Forget an instance that learns that there is no more work for it."""
        self._leaving.discard(instance)
        self._waiters.pop(instance, None)

    def _join(self, instance: Hashable) -> Waiter:
        """Put an instance among those that wait; its thread calls `wait` without the lock."""
        waiter = self._waiters.get(instance)
        if waiter is None:
            waiter = self._waiters[instance] = Waiter(instance)
        self._idle.append(waiter)
        return waiter

    def _check_open(self, request: InferenceRequest) -> None:
        """Refuse a request that comes too late.

        Raises:
            UnavailableError: the scheduler is closed.
        """
        if self._closed:
            raise UnavailableError(
                f"[request id: {request.id or '<id_unknown>'}] Server is stopping, scheduler for model has stopped "
                "accepting new inference requests"
            )

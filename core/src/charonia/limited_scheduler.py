"""A scheduler whose instances execute only while they hold what the rate limiter gives them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from charonia.errors import UnavailableError
from charonia.rate_limiter import demands
from charonia.scheduler import FormedBatch, Scheduler

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from charonia.config import ModelConfig
    from charonia.rate_limiter import RateLimiter, Seat
    from charonia.request import InferenceRequest

__all__ = ["LimitedScheduler"]


class LimitedScheduler(Scheduler):
    """Stands before another scheduler, which decides on everything else.

    An instance takes its resources once it has work, and gives them back when it asks for more, which is when its execution is
    over: while it has nothing to do, it holds none. Where it cannot have them at once, but another instance of the model that has
    nothing to do can, that one gets the work.

    Args:
        inner: the model's scheduler; closed with this one.
        limiter: the server's rate limiter.

    Raises:
        InvalidArgumentError: an instance could never execute; see `RateLimiter.join`.
    """

    def __init__(self, inner: Scheduler, limiter: RateLimiter) -> None:
        super().__init__(inner.context)
        self._inner = inner
        self._limiter = limiter
        self._free = limiter.join(demands(inner.context.config))  # the instances' seats, until there are instances
        self._limits = any(seat.demand.resources for seat in self._free)
        self._seats: dict[Hashable, Seat] = {}
        self._lock = threading.Lock()  # guards changes of `_seats`, and `_formed`
        self._formed = 0

    @property
    def one_at_a_time(self) -> bool:  # type: ignore[override]  # decided by what the model needs
        """Whether the model needs any resources: its executions hold them to their ends."""
        return self._limits

    @property
    def resizable(self) -> bool:  # type: ignore[override]  # what the one behind says
        """Whether the scheduler behind is."""
        return self._inner.resizable

    @property
    def ready(self) -> bool:
        """Whether the scheduler behind is."""
        return self._inner.ready

    def confirm_ready(self) -> bool:
        """Have the scheduler behind ask."""
        return self._inner.confirm_ready()

    @contextmanager
    def turn(self, config: ModelConfig, place: int) -> Iterator[None]:
        """Wait for what the instance's execution needs, and give it back afterwards."""
        (seat,) = self._limiter.join([demands(config)[place]])
        try:
            self._limiter.take(seat)
            yield
        finally:
            self._limiter.give_back(seat)
            self._limiter.leave([seat])

    def attach(self, instances: Sequence[Hashable]) -> None:
        """Give each instance its seat."""
        self._seats = dict(zip(instances, self._free, strict=True))
        self._free = []
        self._inner.attach(instances)

    def resize(self, config: ModelConfig, instances: Sequence[Hashable]) -> None:
        """Give new instances seats. What they need has been needed before, so that there is enough of it."""
        with self._lock:
            for instance, demand in zip(instances, demands(config), strict=True):
                if instance not in self._seats:
                    self._seats[instance] = self._limiter.join([demand])[0]
        self._inner.resize(config, instances)

    def enqueue(self, request: InferenceRequest) -> None:
        """Pass a request on."""
        self._inner.enqueue(request)

    def next_batch(self, instance: Hashable) -> FormedBatch | None:
        """Give back what the instance held, and wait for work, and then for what its execution needs.

        Where there is work already, it asks for its next turn in the same moment, lest others go first whatever their priority.
        """
        seat = self._seats[instance]
        formed = self._inner.ready_batch(instance)
        if formed is None:
            self._limiter.give_back(seat)
        while True:
            formed = formed or self._inner.next_batch(instance)
            if formed is None:
                self._leave(instance)
                return None
            if self._limiter.try_take(seat):
                return formed
            if not self._pass_on(formed):
                with self._counted(len(formed.requests)):
                    self._limiter.take(seat)
                return formed
            formed = None

    @contextmanager
    def _counted(self, requests: int) -> Iterator[None]:
        """Count requests of a batch that is formed, and waits for resources."""
        with self._lock:
            self._formed += requests
        try:
            yield
        finally:
            with self._lock:
                self._formed -= requests

    def _leave(self, instance: Hashable) -> None:
        with self._lock:
            self._limiter.leave([self._seats.pop(instance)])

    def leave(self) -> None:
        """Give up the seats of instances that have not ended by themselves: none of them executes, or will. Idempotent."""
        with self._lock:
            self._limiter.leave([*self._free, *self._seats.values()])
            self._free = []
            self._seats.clear()

    def _pass_on(self, formed: FormedBatch) -> bool:
        """Give a request to an instance that can execute at once: by the queue, which is empty where one has nothing to do."""
        other = self.borrow() if len(formed.requests) == 1 else None
        if other is None:
            return False
        try:
            self._inner.enqueue(formed.requests[0])
        except UnavailableError:  # the model is being unloaded, and what it has is finished where it is
            return False
        finally:
            self.give_back(other)
        return True

    def close(self) -> None:
        """Close the scheduler behind."""
        self._inner.close()

    @property
    def pending(self) -> int:
        """How many requests wait in the queue, or have left it and wait for resources."""
        return self._inner.pending + self._formed

    @property
    def occupied(self) -> bool:
        """Whether the scheduler behind is."""
        return self._inner.occupied

    def borrow(self) -> Hashable | None:
        """Give a waiting instance, if there is one and its resources can be had at once."""
        instance = self._inner.borrow()
        if instance is None or self._limiter.try_take(self._seats[instance]):
            return instance
        self._inner.give_back(instance)
        return None

    def give_back(self, instance: Hashable) -> None:
        """Take an instance back, with what it held."""
        self._limiter.give_back(self._seats[instance])
        self._inner.give_back(instance)

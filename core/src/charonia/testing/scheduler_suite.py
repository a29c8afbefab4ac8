"""The standard tests of a scheduler."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pytest

from charonia.config import ModelConfig
from charonia.errors import UnavailableError
from charonia.request import InferenceRequest
from charonia.testing.patience import PATIENCE_SECONDS
from charonia.testing.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from charonia.scheduler import Scheduler

__all__ = ["SchedulerSuite"]


class SchedulerSuite(Suite):
    """What every scheduler must keep to.

        class TestMyScheduler(SchedulerSuite):
            def make_scheduler(self):
                return MyScheduler(scheduler_context(model_config(max_batch_size=8)))

    The requests are those of `make_request`; override it where the model has other inputs, or where requests must differ.
    """

    lends_instances: ClassVar[bool] = False
    """Whether `borrow` gives instances away."""

    def make_scheduler(self) -> Scheduler:
        """Make a scheduler that is open and empty."""
        raise NotImplementedError(f"{type(self).__name__} must define make_scheduler")

    def make_attached(self, instances: Sequence[Hashable]) -> Scheduler:
        """Make one that knows of these instances; override it where that has to be known before."""
        scheduler = self.make_scheduler()
        scheduler.attach(instances)
        return scheduler

    def make_request(self, number: int) -> InferenceRequest:
        """Make a valid request of batch size 1 whose id is the number."""
        return InferenceRequest("model", {"INPUT0": np.zeros((1, 16), np.float32)}, lambda _: None, id=str(number))

    def test_requests_come_out_in_the_order_of_their_arrival(self) -> None:
        """One instance is given requests of equal rank first in, first out."""
        scheduler = self.make_scheduler()
        for number in range(20):
            scheduler.enqueue(self.make_request(number))
        assert _take(scheduler, "only", 20) == [str(number) for number in range(20)]
        scheduler.close()

    def test_no_batch_is_empty(self) -> None:
        """An instance is woken for work, never for none."""
        scheduler = self.make_scheduler()
        scheduler.enqueue(self.make_request(0))
        batch = scheduler.next_batch("only")
        assert batch is not None
        assert batch.requests
        assert batch.reason
        scheduler.close()

    def test_pending_counts_the_queue(self) -> None:
        """What was taken and not given out is pending."""
        scheduler = self.make_scheduler()
        assert scheduler.pending == 0
        for number in range(3):
            scheduler.enqueue(self.make_request(number))
        assert scheduler.pending == 3
        _take(scheduler, "only", 3)
        assert scheduler.pending == 0
        scheduler.close()

    def test_waiting_instance_is_woken(self) -> None:
        """An instance that waits is given the request that comes."""
        scheduler = self.make_scheduler()
        with _Instances(scheduler, 1) as instances:
            scheduler.enqueue(self.make_request(7))
            assert instances.wait_for(1) == ["7"]

    def test_nothing_is_lost_and_nothing_given_twice(self) -> None:
        """With several callers and several instances, each request is given out exactly once."""
        scheduler = self.make_scheduler()
        numbers = range(400)
        with _Instances(scheduler, 3) as instances, ThreadPoolExecutor(4) as callers:
            for future in [callers.submit(scheduler.enqueue, self.make_request(number)) for number in numbers]:
                future.result(PATIENCE_SECONDS)
            assert sorted(instances.wait_for(len(numbers)), key=int) == [str(number) for number in numbers]

    def test_closed_scheduler_refuses(self) -> None:
        """After `close` a request stays its caller's."""
        scheduler = self.make_scheduler()
        scheduler.close()
        with pytest.raises(UnavailableError):
            scheduler.enqueue(self.make_request(0))

    def test_close_gives_out_what_is_queued(self) -> None:
        """What was taken before `close` is given out after it, and then there is no more."""
        scheduler = self.make_scheduler()
        for number in range(5):
            scheduler.enqueue(self.make_request(number))
        scheduler.close()
        assert _take(scheduler, "only", 5) == ["0", "1", "2", "3", "4"]
        assert scheduler.next_batch("only") is None
        assert scheduler.next_batch("other") is None

    def test_close_wakes_every_waiting_instance(self) -> None:
        """Instances that wait learn that there is nothing more to do, also when `close` is called twice."""
        scheduler = self.make_scheduler()
        with _Instances(scheduler, 3):
            scheduler.close()
            scheduler.close()

    def test_nobody_is_borrowed_where_nobody_waits(self) -> None:
        """Without a waiting instance there is none to lend."""
        scheduler = self.make_scheduler()
        assert scheduler.borrow() is None
        scheduler.enqueue(self.make_request(0))
        assert scheduler.borrow() is None
        scheduler.close()

    def test_borrowed_instance_is_left_alone_until_it_is_given_back(self) -> None:
        """A request that comes while the only instance is lent waits, and is then given to that instance."""
        scheduler = self.make_scheduler()
        with _Instances(scheduler, 1) as instances:
            lent = _borrow(scheduler) if self.lends_instances else scheduler.borrow()
            assert (lent is not None) == self.lends_instances
            scheduler.enqueue(self.make_request(1))
            if lent is not None:
                assert scheduler.pending == 1
                assert scheduler.borrow() is None
                scheduler.give_back(lent)
            assert instances.wait_for(1) == ["1"]

    def test_other_instances_take_over(self) -> None:
        """Where the number of instances may change, those that leave learn it, wherever they are, and no request is lost."""
        scheduler = self.make_attached([0, 1, 2])
        if not scheduler.resizable:
            scheduler.close()
            return
        numbers = range(200)
        with _Instances(scheduler, 3) as instances, ThreadPoolExecutor(4) as callers:
            futures = [callers.submit(scheduler.enqueue, self.make_request(number)) for number in numbers]
            scheduler.resize(_with_count(scheduler, 1), [0])
            instances.wait_ended([1, 2])
            scheduler.resize(_with_count(scheduler, 2), [3, 0])
            instances.start([3])
            for future in futures:
                future.result(PATIENCE_SECONDS)
            assert sorted(instances.wait_for(len(numbers)), key=int) == [str(number) for number in numbers]

    def test_an_instance_that_is_lent_can_leave(self) -> None:
        """Where the number of instances may change, one that is not wanted any more leaves when it is given back."""
        scheduler = self.make_attached([0, 1])
        if not (scheduler.resizable and self.lends_instances):
            scheduler.close()
            return
        with _Instances(scheduler, 2) as instances:
            lent = _borrow(scheduler)
            other = 1 - int(str(lent))
            scheduler.resize(_with_count(scheduler, 1), [other])
            scheduler.give_back(lent)
            instances.wait_ended([int(str(lent))])
            scheduler.enqueue(self.make_request(7))
            assert instances.wait_for(1) == ["7"]

    def test_close_ends_an_instance_that_is_lent(self) -> None:
        """An instance that is given back after `close` has nothing more to do."""
        scheduler = self.make_scheduler()
        with _Instances(scheduler, 2):
            lent = _borrow(scheduler) if self.lends_instances else None
            scheduler.close()
            if lent is not None:
                scheduler.give_back(lent)


def _take(scheduler: Scheduler, instance: Hashable, count: int) -> list[str]:
    """Take requests in one instance's name until there are as many as that; gives their ids."""
    ids: list[str] = []
    while len(ids) < count:
        batch = scheduler.next_batch(instance)
        assert batch, f"the scheduler gave {batch!r} after {ids}, though {count} requests were queued"
        ids += [request.id for request in batch.requests]
    return ids


def _borrow(scheduler: Scheduler) -> Hashable:
    """Borrow an instance as soon as one waits: its thread may not have come that far yet."""
    for _ in range(10_000_000):
        instance = scheduler.borrow()
        if instance is not None:
            return instance
    pytest.fail("no instance can be borrowed, though nobody is busy")


def _with_count(scheduler: Scheduler, count: int) -> ModelConfig:
    """Give the scheduler's configuration with another number of instances, where it says any."""
    config = ModelConfig()
    config.CopyFrom(scheduler.context.config)
    for group in config.instance_group:
        group.count = count
    return config


class _Instances:
    """Threads that take batches until the scheduler is closed, which the end of the block does, and joins them."""

    def __init__(self, scheduler: Scheduler, count: int) -> None:
        self._scheduler = scheduler
        self._ids: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads: dict[int, threading.Thread] = {}
        self._count = count

    def _serve(self, number: int) -> None:
        while (batch := self._scheduler.next_batch(number)) is not None:
            for request in batch.requests:
                self._ids.put(request.id)

    def __enter__(self) -> Self:
        self.start(range(self._count))
        return self

    def start(self, numbers: Iterable[int]) -> None:
        """Let instances of these numbers ask for work."""
        for number in numbers:
            name = f"suite-instance-{number}"
            self._threads[number] = threading.Thread(target=self._serve, args=(number,), name=name, daemon=True)
            self._threads[number].start()

    def __exit__(self, *error: object) -> None:
        self._scheduler.close()
        self.wait_ended(self._threads)

    def wait_ended(self, numbers: Iterable[int]) -> None:
        """Wait until these instances have learnt that there is no more work for them."""
        for number in numbers:
            self._threads[number].join(PATIENCE_SECONDS)
            assert not self._threads[number].is_alive(), "an instance still waits, though there is no more work for it"

    def wait_for(self, count: int) -> list[str]:
        """Wait until the instances have been given as many requests as that; gives their ids. Nothing more may be there."""
        ids = [self._ids.get(timeout=PATIENCE_SECONDS) for _ in range(count)]
        assert self._ids.empty(), "a request was given out twice"
        return ids

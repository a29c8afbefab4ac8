"""The scheduler of models with `dynamic_batching`: instances that wait, and a clock, around the batcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import UnavailableError
from charonia.hand_over import HandOverScheduler

from charonia_scheduler_dynamic.batch_signature import BatchSignature
from charonia_scheduler_dynamic.batch_strategy import batch_strategy
from charonia_scheduler_dynamic.batcher import Batcher
from charonia_scheduler_dynamic.padding import Padding
from charonia_scheduler_dynamic.response_order import ResponseOrder
from charonia_scheduler_dynamic.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from charonia.clock import Alarm
    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.scheduler import FormedBatch, SchedulerContext

    from charonia_scheduler_dynamic.batcher import Dropped

__all__ = ["DynamicScheduler"]


class DynamicScheduler(HandOverScheduler):
    """Merges requests into batches, by the rules of the configuration's section `dynamic_batching`.

    The rules are in the `Batcher`; here is who waits. Delays and time-outs are kept by the clock, whatever the instances do.
    """

    def __init__(self, context: SchedulerContext) -> None:
        super().__init__(context)
        rules = Rules.of(context.config, batch_strategy(context))
        signature = BatchSignature(context.config)
        self._signature = None if signature.is_constant else signature
        self._padding = Padding.of(context.config)
        self._order = ResponseOrder() if rules.keeps_order else None
        # An instance executes what it is lent for alone, at once, and answers at once.
        self._lends = not rules.keeps_order and self._padding is None and (rules.delay_ns == 0 or rules.most == 1)
        self._batcher = Batcher(rules)
        self._alarm: Alarm | None = None
        self._alarm_ns = 0

    def attach(self, instances: Sequence[Hashable]) -> None:
        """Learn how many instances there are, for whom batches are formed ahead."""
        super().attach(instances)
        self._batcher.instances = max(1, len(instances))

    def resize(self, config: ModelConfig, instances: Sequence[Hashable]) -> None:
        """Form batches ahead for those that are there now, and let the others go."""
        with self._lock:
            self._batcher.instances = max(1, len(instances))
        super().resize(config, instances)

    def enqueue(self, request: InferenceRequest) -> None:
        """Queue the request, and hand over what has become a batch by it.

        Raises:
            UnavailableError: the model is being unloaded, or as many requests of its level wait as may.
        """
        if self._padding is not None:
            request = self._padding.pad(request)
        signature = None if self._signature is None else self._signature.of(request)
        with self._lock:
            self._check_open(request)
            now_ns = self.context.clock.now_ns()
            self._add(request, now_ns, signature)
            dropped = self._serve(now_ns)
        _answer(dropped)

    def _add(self, request: InferenceRequest, now_ns: int, signature: Hashable) -> None:
        if self._order is None:
            self._batcher.add(request, now_ns, signature)
            return
        executed = self._order.follow(request)
        try:
            self._batcher.add(executed, now_ns, signature)
        except UnavailableError:
            self._order.forget_last()
            raise

    def _serve(self, now_ns: int) -> list[Dropped]:
        """Hand over what there is for instances that wait, form batches ahead for those that do not, and set the alarm.

        Gives the requests that have left the queue unexecuted, to be answered without the lock.
        """
        while self._idle:
            batch = self._batcher.take(now_ns)
            if batch is None and not self._ended:
                break
            self._idle.pop().hand_over(batch)
        if not self._idle:
            self._batcher.form_ahead(now_ns)
        self._set_alarm()
        return self._batcher.drop()

    @property
    def _ended(self) -> bool:
        return self._closed and not len(self._batcher)

    def _set_alarm(self) -> None:
        """See to it that somebody looks again when a delay or a time-out is over."""
        until_ns = self._batcher.until_ns(idle=bool(self._idle))
        if until_ns is None or (self._alarm is not None and self._alarm_ns <= until_ns):
            return  # an alarm that rings too early sets the next one
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_ns = until_ns
        self._alarm = self.context.clock.call_at(until_ns, self._ring)

    def _ring(self) -> None:
        """Look again because of the time. On the clock's thread."""
        with self._lock:
            self._alarm = None
            dropped = self._serve(self.context.clock.now_ns())
        _answer(dropped)

    def next_batch(self, instance: Hashable) -> FormedBatch | None:
        """Wait for a batch."""
        with self._lock:
            if self._leaving and instance in self._leaving:
                self._let_go(instance)
                return None
            waiter = self._join(instance)
            dropped = self._serve(self.context.clock.now_ns())
        _answer(dropped)
        return waiter.wait()

    def ready_batch(self, instance: Hashable) -> FormedBatch | None:
        """Give the next batch, if there is one already."""
        with self._lock:
            if self._leaving and instance in self._leaving:
                return None
            now_ns = self.context.clock.now_ns()
            batch = self._batcher.take(now_ns)
            dropped = self._serve(now_ns)
        _answer(dropped)
        return batch

    def close(self) -> None:
        """Refuse new requests, hold none back any more, and tell waiting instances that there is nothing more to do."""
        with self._lock:
            self._closed = self._batcher.hurry = True
            dropped = self._serve(self.context.clock.now_ns())
        _answer(dropped)

    @property
    def pending(self) -> int:
        """How many requests wait for an instance, or for others to join them."""
        return len(self._batcher)

    def borrow(self) -> Hashable | None:
        """Give a waiting instance, if no request is to be held back: then none waits, so that nobody is overtaken."""
        if not self._lends:
            return None
        with self._lock:
            return self._idle.pop().instance if self._idle else None

    def give_back(self, instance: Hashable) -> None:
        """Let the instance wait again, or wake its thread for what has come meanwhile."""
        with self._lock:
            self._rest(self._waiters[instance])
            dropped = self._serve(self.context.clock.now_ns())
        _answer(dropped)


def _answer(dropped: list[Dropped]) -> None:
    """Answer requests that left the queue unexecuted; without the lock, since it calls whoever made them."""
    for request, error in dropped:
        request.fail(error)

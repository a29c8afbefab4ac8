"""The scheduler of models with `sequence_batching`: instances that wait, and a clock, around the slots."""

from __future__ import annotations

import itertools
import threading
from functools import partial
from typing import TYPE_CHECKING

from charonia.errors import CancelledError, InvalidArgumentError, UnavailableError
from charonia.request import SEQUENCE_START
from charonia.scheduler import FormedBatch, Scheduler, SchedulerContext

from charonia_scheduler_sequence.batch_signature import BatchSignature
from charonia_scheduler_sequence.controls import Controls
from charonia_scheduler_sequence.executed import Executed, Kept, fill_place
from charonia_scheduler_sequence.forming import Formation, form_direct, form_oldest
from charonia_scheduler_sequence.response_order import ResponseOrder
from charonia_scheduler_sequence.rules import Rules
from charonia_scheduler_sequence.slots import SlotTable
from charonia_scheduler_sequence.states import States

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from charonia.clock import Alarm
    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest, InferenceResponse

    from charonia_scheduler_sequence.seats import Slot
    from charonia_scheduler_sequence.slots import Dropped

__all__ = ["SequenceScheduler"]

_LATE_NS = 100_000_000
"""An alarm that rings later than that has not had the processor."""

_STOPPING = "Server is stopping, scheduler for model has stopped accepting new inference requests"


class _Desk:
    """An instance at the scheduler.

    Attributes:
        changed: told when the instance may have work.
        order: the order of its responses, if they have one.
    """

    __slots__ = ("changed", "order")

    def __init__(self, lock: threading.Lock, order: ResponseOrder | None) -> None:
        self.changed = threading.Condition(lock)
        self.order = order


class SequenceScheduler(Scheduler):
    """Keeps the requests of a sequence together and in their order, by the configuration's section `sequence_batching`.

    The rules are in the `SlotTable`, and in what forms batches of its slots; here is who waits, and who is answered.
    """

    resizable = True

    def __init__(self, context: SchedulerContext) -> None:
        super().__init__(context)
        config = context.config
        self._rules = Rules.of(config)
        self._controls = Controls(config)
        self._states = States(config, context.directory)
        self._signature = BatchSignature(config)
        self._form = form_oldest if self._rules.oldest else form_direct
        self._lock = threading.Lock()  # guards all below
        self._table: SlotTable[Kept] = SlotTable(
            config.name, self._rules.slots, self._rules.idle_ns, lambda: Kept(self._states.begin())
        )
        self._numbers = itertools.count(1)
        self._desks: dict[Hashable, _Desk] = {}
        self._alarm: Alarm | None = None
        self._alarm_ns = 0
        self._closed = False

    def attach(self, instances: Sequence[Hashable]) -> None:
        """Let the instances' slots be taken in their order."""
        with self._lock:
            for instance in instances:
                self._desk_of(instance)

    def resize(self, config: ModelConfig, instances: Sequence[Hashable]) -> None:
        """Let the slots of new instances be taken, and those of others only be used by the sequences that have them."""
        with self._lock:
            for instance in self._desks.keys() - set(instances):
                self._table.retire(instance)
            for instance in instances:
                self._desk_of(instance)
            dropped = self._settle()
        _answer(dropped)

    def _desk_of(self, instance: Hashable) -> _Desk:
        desk = self._desks.get(instance)
        if desk is None:
            desk = self._desks[instance] = _Desk(self._lock, ResponseOrder() if self._rules.keeps_order else None)
            self._table.seats_of(instance)
        return desk

    def enqueue(self, request: InferenceRequest) -> None:
        """Put the request into its sequence's slot, or into the backlog.

        Raises:
            InvalidArgumentError: it has no correlation id, or one of the wrong kind; it is a batch of several; or its sequence
                has not been started.
            UnavailableError: the model is being unloaded.
        """
        self._check(request)
        with self._lock:
            if self._closed:
                raise UnavailableError(_STOPPING)
            if self._rules.iterative:
                self._name(request)
            self._table.admit(request, self.context.clock.now_ns(), alone=self._rules.iterative)
            dropped = self._settle()
        _answer(dropped)

    def _check(self, request: InferenceRequest) -> None:
        name = self.context.config.name
        if request.correlation_id:
            self._controls.check(request)
        if request.batch_size > 1:
            raise InvalidArgumentError(
                f"inference request to model '{name}' must specify batch-size 1 due to requirements of sequence batcher"
            )
        if not request.correlation_id and not self._rules.iterative:
            raise InvalidArgumentError(
                f"inference request to model '{name}' must specify a non-zero or non-empty correlation ID"
            )

    def _name(self, request: InferenceRequest) -> None:
        """Make a request the start of a sequence, of which its end is not known yet; its client need not have done so."""
        if not request.correlation_id:
            request.correlation_id = next(self._numbers)
            request.flags = SEQUENCE_START
        request.flags &= SEQUENCE_START

    def _settle(self) -> list[Dropped]:
        """Wake instances that have got work, and set the alarm. Gives the requests to be answered without the lock."""
        for instance in self._table.woken():
            self._desks[instance].changed.notify()
        if self._closed and not self._table.pending:
            self._end()
            return self._table.dropped()
        deadline_ns = self._table.deadline_ns
        if deadline_ns is not None and (self._alarm is None or deadline_ns < self._alarm_ns):
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_ns = deadline_ns  # one that rings too early sets the next one
            self._alarm = self.context.clock.call_at(deadline_ns, self._ring)
        return self._table.dropped()

    def _ring(self) -> None:
        """End what has been silent, or has waited, for too long. On the clock's thread."""
        with self._lock:
            self._alarm = None
            now_ns = self.context.clock.now_ns()
            self._table.expire(now_ns, late=now_ns - self._alarm_ns > _LATE_NS)
            dropped = self._settle()
        _answer(dropped)

    def next_batch(self, instance: Hashable) -> FormedBatch | None:
        """Wait for a batch."""
        while True:
            with self._lock:
                desk = self._desk_of(instance)
                batch, until_ns = self._take(instance, desk)
                dropped = self._settle()
                if batch is None and not dropped:
                    if self._closed and not self._table.pending:
                        return None
                    if self._table.seats_of(instance).ended:
                        self._table.forget(instance)
                        del self._desks[instance]
                        return None
                    self.context.clock.wait(desk.changed, until_ns)
            _answer(dropped)
            if batch is not None:
                return batch

    def ready_batch(self, instance: Hashable) -> FormedBatch | None:
        """Give the next batch, if there is one already."""
        with self._lock:
            batch, _ = self._take(instance, self._desk_of(instance))
            dropped = self._settle()
        _answer(dropped)
        return batch

    def _take(self, instance: Hashable, desk: _Desk) -> tuple[FormedBatch | None, int | None]:
        """Take an instance's next batch from its slots; None, and when to look again, if there is none yet."""
        now_ns = self.context.clock.now_ns()
        seats = self._table.seats_of(instance)
        self._table.drop_cancelled(seats)
        formation = self._form(seats, self._rules, self._signature_of, now_ns, hurry=self._closed)
        if not formation.places:
            return None, formation.until_ns
        return FormedBatch(self._requests(formation, desk), formation.reason, fixed=True), None

    def _signature_of(self, slot: Slot[Kept]) -> Hashable:
        if self._signature.is_constant:
            return None
        request = slot.head.request
        fresh = slot.state is None or request.flags & SEQUENCE_START
        return self._signature.of(request, self._states.begin() if fresh or slot.state is None else slot.state.tensors)

    def _requests(self, formation: Formation, desk: _Desk) -> list[InferenceRequest]:
        requests = [None if slot is None else self._executed(slot, desk).request for slot in formation.places]
        like = next(request for request in requests if request is not None)
        return [fill_place(like, self._controls) if request is None else request for request in requests]

    def _executed(self, slot: Slot[Kept], desk: _Desk) -> Executed:
        ticket = self._table.take(slot)
        executed = ticket.state.executed
        if executed is not None:
            executed.begin_turn(ticket)
            return executed
        executed = Executed(ticket, self._controls, self._states, partial(self._answer, desk))
        if self._rules.iterative:
            executed.may_be_taken_back(self._take_back)
        if desk.order is not None:
            desk.order.follow(executed)
        return executed

    def _answer(self, desk: _Desk, executed: Executed, response: InferenceResponse) -> None:
        """Answer a request, and let the next one of its sequence follow."""
        taken_back = isinstance(response.error, CancelledError)  # looked at now: who gets a response may take its error
        if desk.order is None:
            executed.deliver(response)
        else:
            desk.order.deliver(executed, response)
        if not response.final:
            return
        with self._lock:
            now_ns = self.context.clock.now_ns()
            if taken_back:
                self._table.abandon(executed.ticket)
            else:
                self._table.complete(executed.ticket, Kept(executed.state), now_ns)
            dropped = self._settle()
        _answer(dropped)

    def _take_back(self, executed: Executed) -> None:
        """Let a request that its model wants to have again wait for its next turn."""
        with self._lock:
            closed = self._closed
            if not closed:
                now_ns = self.context.clock.now_ns()
                self._table.take_back(executed.ticket, executed.request, executed.end_turn(), now_ns)
            dropped = self._settle()
        _answer(dropped)
        if closed:  # nobody waits for it any more, and it would never end
            executed.request.fail(UnavailableError(_STOPPING))

    def close(self) -> None:
        """Refuse new requests, hold none back any more, and tell waiting instances that there is nothing more to do."""
        with self._lock:
            self._closed = True
            for desk in self._desks.values():
                desk.changed.notify()
            dropped = self._settle()
        _answer(dropped)

    def _end(self) -> None:
        """Tell the waiting instances that there is nothing more to do."""
        if self._alarm is not None:
            self._alarm.cancel()
        for desk in self._desks.values():
            desk.changed.notify()

    @property
    def pending(self) -> int:
        """How many requests wait for their turn, for a slot, or for others to join them."""
        return self._table.pending

    @property
    def occupied(self) -> bool:
        """Whether a sequence has begun and not ended: what is kept for it would be lost."""
        return self._table.occupied


def _answer(dropped: list[Dropped]) -> None:
    """Answer requests that left unexecuted; without the lock, since it calls whoever made them."""
    for request, error in dropped:
        request.fail(error)

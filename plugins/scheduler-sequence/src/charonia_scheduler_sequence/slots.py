"""Who has which slot: sequences from their first request to their end, as a machine without threads or time.

A slot has one owner, and a generation that counts its owners and their starts. Whoever executes a request of the owner has a
ticket with the generation of that moment. What comes later than the owner's end, from whatever side, has an old ticket, and
changes nothing.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from charonia.errors import CancelledError, InvalidArgumentError, UnavailableError
from charonia.request import SEQUENCE_END, SEQUENCE_START

from charonia_scheduler_sequence.seats import Entry, Seats, Sequence, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from charonia.errors import InferenceError
    from charonia.request import InferenceRequest

    from charonia_scheduler_sequence.seats import Slot

__all__ = ["Dropped", "SlotTable"]

_log = logging.getLogger("charonia.scheduler_sequence.slots")

_MOMENT_NS = 1_000_000_000

_STATE = TypeVar("_STATE")
"""What is kept for an owner between its requests."""

Dropped: TypeAlias = "tuple[InferenceRequest, InferenceError]"
"""A request that is not executed, and why."""


class SlotTable(Generic[_STATE]):
    """The slots of all instances of one model version, and the sequences that have one or wait for one.

    Not safe for several threads.

    Args:
        model: the model's name, for errors.
        slots: how many slots each instance has.
        idle_ns: for how long a sequence may be silent until it has ended. While a request of it waits or is executed it is not:
            that a server takes its time is no fault of a client that waits for the answer.
        begin: gives what is kept for a sequence that starts.

    Attributes:
        pending: how many requests wait.
    """

    def __init__(self, model: str, slots: int, idle_ns: int, begin: Callable[[], _STATE]) -> None:
        self._model = model
        self._count = slots
        self._idle_ns = idle_ns
        self._begin = begin
        self._seats: dict[Hashable, Seats[_STATE]] = {}
        self._free: list[tuple[int, int, Slot[_STATE]]] = []  # a heap: the lowest number, then the longest free
        self._open: dict[int | str, Sequence] = {}
        self._owned: dict[Sequence, Slot[_STATE]] = {}
        self._silent: dict[Sequence, None] = {}  # open ones that have a slot and ask nothing, the longest silent first
        self._backlog: dict[Sequence, None] = {}  # in the order of their starts
        self._patience: list[tuple[int, int, Sequence]] = []  # a heap: until when one of the backlog waits
        self._numbers = itertools.count()
        self._woken: list[Hashable] = []
        self._dropped: list[Dropped] = []
        self.pending = 0

    def seats_of(self, instance: Hashable) -> Seats[_STATE]:
        """Give the slots of an instance. One that is new brings its slots with it."""
        seats = self._seats.get(instance)
        if seats is None:
            seats = self._seats[instance] = Seats(instance, self._count)
            for slot in seats.slots:
                self._give_away(slot)
        return seats

    def retire(self, instance: Hashable) -> None:
        """Give the slots of an instance to no other sequence. Those that have one keep it to their end, where the instance is."""
        seats = self._seats[instance]
        seats.leaving = True
        self._free = [entry for entry in self._free if entry[-1].seats is not seats]
        heapq.heapify(self._free)
        self._woken.append(instance)

    def forget(self, instance: Hashable) -> None:
        """Let an instance go whose seats have ended."""
        del self._seats[instance]

    def admit(self, request: InferenceRequest, now_ns: int, *, alone: bool = False) -> None:
        """Take a request: into its sequence's slot, or to the end of the backlog with a sequence for which there is none.

        Args:
            request: the request.
            now_ns: what time it is.
            alone: whether no other request may join it; its sequence ends when it is complete.

        Raises:
            InvalidArgumentError: it does not start a sequence, and there is none that it could belong to.
        """
        sequence = self._open.get(request.correlation_id)
        if sequence is None:
            if not request.flags & SEQUENCE_START:
                raise InvalidArgumentError(
                    f"inference request for sequence {request.correlation_id} to model '{self._model}' must specify the START "
                    "flag on the first request of the sequence"
                )
            sequence = self._open[request.correlation_id] = Sequence(request.correlation_id)
            self._backlog[sequence] = None
        elif request.flags & SEQUENCE_START:
            _log.warning("sequence %s of model '%s' starts again before its end", sequence.id, self._model)
        entry = Entry(request, now_ns)
        self._append(sequence, entry)
        sequence.alone = alone
        if alone or request.flags & SEQUENCE_END:
            self._close(sequence)
        if sequence not in self._backlog:
            return
        if self._free:
            self._give_away(heapq.heappop(self._free)[-1])
        elif entry.until_ns is not None:
            heapq.heappush(self._patience, (entry.until_ns, next(self._numbers), sequence))

    def _append(self, sequence: Sequence, entry: Entry) -> None:
        self.pending += 1
        sequence.waiting.append(entry)
        self._silent.pop(sequence, None)
        slot = self._owned.get(sequence)
        if slot is not None:
            self._look(slot)

    def take(self, slot: Slot[_STATE]) -> Ticket[_STATE]:
        """Take the next request from a slot that is ready. With its last request, the sequence gives up the slot."""
        owner = self._owner(slot)
        request = owner.waiting.popleft().request
        self.pending -= 1
        del slot.seats.ready[slot]
        if request.flags & SEQUENCE_START:
            slot.renew()
        if slot.state is None:
            slot.state = self._begin()
        slot.busy = True
        ticket = Ticket(request, slot, slot.generation, slot.state)
        if request.flags & SEQUENCE_END:
            self._vacate(slot)
        return ticket

    def take_back(self, ticket: Ticket[_STATE], request: InferenceRequest, state: _STATE, now_ns: int) -> None:
        """Have a sequence of one request executed once more, in its slot.

        Args:
            ticket: the execution that has ended.
            request: what is to be taken from the slot now, in place of the ticket's request. It starts nothing and ends nothing.
            state: what is kept for it.
            now_ns: what time it is.
        """
        slot = ticket.slot
        if slot.generation != ticket.generation:
            return
        slot.busy = False
        slot.state = state
        self.pending += 1
        self._owner(slot).waiting.append(Entry(request, now_ns))
        self._look(slot)

    def complete(self, ticket: Ticket[_STATE], state: _STATE, now_ns: int) -> None:
        """Take note that a request has been executed, and keep what it leaves for the next one of its sequence."""
        slot = ticket.slot
        if slot.generation != ticket.generation:
            return
        slot.busy = False
        slot.state = state
        owner = self._owner(slot)
        if owner.alone:
            self._break_off(slot)  # the request may have been answered while it waited for its next turn
        elif owner.waiting:
            self._look(slot)
        else:
            owner.silent_ns = now_ns
            owner.excused = False
            self._silent[owner] = None

    def abandon(self, ticket: Ticket[_STATE]) -> None:
        """End the sequence of a request that was taken back by its caller while it was executed.

        What it would have left for the next one is not known, so that nothing that follows it makes sense.
        """
        if ticket.slot.generation == ticket.generation:
            self._break_off(ticket.slot)

    def drop_cancelled(self, seats: Seats[_STATE]) -> None:
        """End the sequences whose next request its caller has taken back, unless they start again: the rest makes no sense."""
        for slot in list(seats.ready):
            if slot.head.request.cancelled:
                self._break_off(slot)

    def _break_off(self, slot: Slot[_STATE]) -> None:
        owner = self._owner(slot)
        self._take_from(owner)
        if owner.waiting:
            slot.renew()
            slot.seats.ready.pop(slot, None)
            self._look(slot)
        else:
            self._close(owner)
            self._vacate(slot)

    def expire(self, now_ns: int, *, late: bool = False) -> None:
        """End the sequences that have been silent for too long, and those of the backlog that have waited too long.

        Args:
            now_ns: what time it is.
            late: whether this comes much later than at `deadline_ns`. Then the process has not run for a while, and what clients
                have sent in time may not have been read yet: who was silent has another moment to be heard, once.
        """
        while self._silent:
            sequence = next(iter(self._silent))
            if sequence.silent_ns + self._idle_ns > now_ns:
                break
            if late and not sequence.excused:
                sequence.excused = True
                sequence.silent_ns = now_ns - max(0, self._idle_ns - _MOMENT_NS)
                break  # those behind it are looked at when its moment is over
            self._close(sequence)
            self._vacate(self._owned[sequence])
        while self._patience and self._patience[0][0] <= now_ns:
            _, _, sequence = heapq.heappop(self._patience)
            if sequence in self._backlog:
                self._give_up(sequence, now_ns)

    def _give_up(self, sequence: Sequence, now_ns: int) -> None:
        """End a sequence of the backlog of which a request has waited for too long, unless it starts again behind that."""
        if sequence.waiting[0].request.cancelled:
            self._take_from(sequence)
        if sequence.waiting and not any(entry.is_late(now_ns) for entry in sequence.waiting):
            return
        del self._backlog[sequence]
        self._close(sequence)
        error = UnavailableError("timeout of the corresponding sequence has been expired")
        for request, _ in sequence.waiting:
            self._dropped.append((request, CancelledError("") if request.cancelled else error))
        self.pending -= len(sequence.waiting)
        sequence.waiting.clear()

    @property
    def occupied(self) -> bool:
        """Whether there are sequences that further requests may join."""
        return bool(self._open)

    @property
    def deadline_ns(self) -> int | None:
        """When `expire` has something to do; None if nothing is to be expected. It may turn out to be nothing."""
        deadlines = [self._patience[0][0]] if self._patience else []
        deadlines += [sequence.silent_ns + self._idle_ns for sequence in itertools.islice(self._silent, 1)]
        return min(deadlines, default=None)

    def woken(self) -> list[Hashable]:
        """Give the instances at which a slot has become ready since the last call, or that may have ended."""
        woken, self._woken = self._woken, []
        return woken

    def dropped(self) -> list[Dropped]:
        """Give the requests that have left unexecuted since the last call, each with the error to answer it with."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def _owner(self, slot: Slot[_STATE]) -> Sequence:
        if slot.owner is None:
            raise LookupError("the slot has no owner")
        return slot.owner

    def _look(self, slot: Slot[_STATE]) -> None:
        """Note a slot as ready if a request may be taken from it."""
        if not slot.busy and slot.owner is not None and slot.owner.waiting and slot not in slot.seats.ready:
            slot.seats.ready[slot] = None
            self._woken.append(slot.seats.instance)

    def _close(self, sequence: Sequence) -> None:
        """Let no further requests join a sequence. Another one may have its id from now on."""
        if sequence.open:
            sequence.open = False
            del self._open[sequence.id]
            self._silent.pop(sequence, None)

    def _take_from(self, sequence: Sequence) -> None:
        """Drop what waits in a sequence of which a request was taken back, up to where the client starts it again."""
        waiting = sequence.waiting
        while waiting and (waiting[0].request.cancelled or not waiting[0].request.flags & SEQUENCE_START):
            request = waiting.popleft().request
            reason = (
                f"sequence {sequence.id} of model '{self._model}' has ended, as an earlier request of it was cancelled"
            )
            self._dropped.append((request, CancelledError("" if request.cancelled else f"{reason}: start it again")))
            self.pending -= 1

    def _vacate(self, slot: Slot[_STATE]) -> None:
        """Take a slot from its owner, who has nothing more to ask."""
        del self._owned[self._owner(slot)]
        slot.seats.ready.pop(slot, None)
        slot.owner = None
        slot.renew()
        self._give_away(slot)

    def _give_away(self, slot: Slot[_STATE]) -> None:
        """Give a slot without an owner to the first sequence of the backlog; without any, it is free."""
        if slot.seats.leaving:
            self._woken.append(slot.seats.instance)
        elif not self._seat(slot):
            heapq.heappush(self._free, (slot.number, next(self._numbers), slot))

    def _seat(self, slot: Slot[_STATE]) -> bool:
        for sequence in self._waiting_sequences():
            slot.owner = sequence
            slot.renew()
            self._owned[sequence] = slot
            self._look(slot)
            return True
        return False

    def _waiting_sequences(self) -> Iterator[Sequence]:
        """Take sequences from the head of the backlog; those whose next request was taken back begin where they start again."""
        while self._backlog:
            sequence = next(iter(self._backlog))
            del self._backlog[sequence]
            if sequence.waiting[0].request.cancelled:
                self._take_from(sequence)
            if sequence.waiting:
                yield sequence
            else:
                self._close(sequence)

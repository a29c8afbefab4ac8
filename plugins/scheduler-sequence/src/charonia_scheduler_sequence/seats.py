"""Sequences, the slots of instances that they sit in, and tickets for what is executed of them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from charonia.request import InferenceRequest

__all__ = ["Entry", "Seats", "Sequence", "Slot", "Ticket"]

_STATE = TypeVar("_STATE")
"""What is kept for an owner between its requests."""


class Entry(NamedTuple):
    """A request that waits, and when it came."""

    request: InferenceRequest
    arrived_ns: int

    @property
    def until_ns(self) -> int | None:
        """Until when its sequence may wait for a slot; None if it does not say for how long."""
        return self.arrived_ns + self.request.timeout_us * 1000 if self.request.timeout_us else None

    def is_late(self, now_ns: int) -> bool:
        """Tell whether its sequence has waited for longer than it may."""
        return self.until_ns is not None and self.until_ns <= now_ns


class Sequence:
    """The requests of one client that belong together.

    Attributes:
        id: the correlation id.
        open: whether further requests may join it.
        alone: whether it is one request, however often that is executed.
        excused: whether it was given another moment since its last request.
        silent_ns: since when it has nothing that waits or is executed.
        waiting: its requests that have not been taken yet, in the order of their arrival.
    """

    __slots__ = ("alone", "excused", "id", "open", "silent_ns", "waiting")

    def __init__(self, correlation_id: int | str) -> None:
        self.id = correlation_id
        self.open = True
        self.alone = False
        self.excused = False
        self.silent_ns = 0
        self.waiting: deque[Entry] = deque()


class Slot(Generic[_STATE]):
    """A place for one sequence at one instance.

    Attributes:
        seats: all slots of the instance.
        number: which of them it is.
        generation: how many owners and starts it has had.
        owner: the sequence that has it now.
        busy: whether a request of this generation is being executed.
        state: what is kept for the owner; None until its first request is taken.
    """

    __slots__ = ("busy", "generation", "number", "owner", "seats", "state")

    def __init__(self, seats: Seats[_STATE], number: int) -> None:
        self.seats = seats
        self.number = number
        self.generation = 0
        self.owner: Sequence | None = None
        self.busy = False
        self.state: _STATE | None = None

    @property
    def head(self) -> Entry:
        """The owner's next request; one waits if the slot is ready."""
        if self.owner is None:
            raise LookupError("the slot has no owner")
        return self.owner.waiting[0]

    def renew(self) -> None:
        """Make a fresh start: nothing of before matters any more."""
        self.generation += 1
        self.busy = False
        self.state = None


class Seats(Generic[_STATE]):
    """The slots of one instance.

    Attributes:
        instance: the instance.
        leaving: whether its slots are given to no other sequence.
        slots: its slots by number.
        ready: those from which a request may be taken, in the order in which they became ready.
    """

    def __init__(self, instance: Hashable, count: int) -> None:
        self.instance = instance
        self.leaving = False
        self.slots = [Slot(self, number) for number in range(count)]
        self.ready: dict[Slot[_STATE], None] = {}

    @property
    def ended(self) -> bool:
        """Whether its slots are given to no other sequence, and those that had one have ended."""
        return self.leaving and all(slot.owner is None for slot in self.slots)


class Ticket(NamedTuple, Generic[_STATE]):
    """A request that is given out for execution, and what is kept for its sequence."""

    request: InferenceRequest
    slot: Slot[_STATE]
    generation: int
    state: _STATE

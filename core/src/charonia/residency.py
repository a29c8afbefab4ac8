"""Which model versions are in memory where there is a budget: who gets room next, and who has to go for it.

Rules alone: no threads, no time, and no model. What is counted never exceeds the budget.

OUT → QUEUED → LOADING → RESIDENT → LEAVING → OUT
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NoRoomError", "Presence", "Residence", "ResidencyLedger", "in_words"]


class NoRoomError(UnavailableError):
    """The memory budget has no room for a model: now, or ever."""


class Presence(enum.Enum):
    """Where a model version is on its way into memory and out of it."""

    OUT = enum.auto()
    QUEUED = enum.auto()
    LOADING = enum.auto()
    RESIDENT = enum.auto()
    LEAVING = enum.auto()


_TRANSITIONS: Mapping[Presence, frozenset[Presence]] = {
    Presence.OUT: frozenset({Presence.QUEUED}),
    Presence.QUEUED: frozenset({Presence.LOADING, Presence.OUT}),
    Presence.LOADING: frozenset({Presence.RESIDENT, Presence.LEAVING, Presence.OUT}),
    Presence.RESIDENT: frozenset({Presence.LEAVING}),
    Presence.LEAVING: frozenset({Presence.OUT}),
}


@dataclass(eq=False)
class Residence:
    """One model version, as the ledger sees it.

    Attributes:
        key: the model's; see `charonia.model_names`.
        version: the version.
        pinned: whether it stays once it is in memory.
        last_used_ns: when it was used last, at any clock; whoever uses it writes it, without any lock.
        byte_size: how many bytes it took when it was in memory last; before that, what it can be expected to take. The ledger's
            to write from then on.
        presence: where it is. The ledger's to write.
    """

    key: str
    version: int
    byte_size: int
    pinned: bool = False
    last_used_ns: int = 0
    presence: Presence = Presence.OUT

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return f"model '{self.key}' version {self.version}"

    def move(self, presence: Presence) -> None:
        """Go over to another state."""
        if presence not in _TRANSITIONS[self.presence]:
            raise AssertionError(f"{self.name} cannot go from {self.presence.name} to {presence.name}")
        self.presence = presence


class ResidencyLedger:
    """Who holds how much of the budget, and who waits for room. Not safe for several threads.

    Room is given in the order in which it was asked for, so that nobody waits for ever while smaller ones pass.

    Args:
        budget: how many bytes may be counted.

    Attributes:
        budget: see above.
        counted: how many bytes are counted now: of those that are loading, resident or leaving.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.counted = 0
        self._held: dict[Residence, int] = {}
        self._queue: dict[Residence, None] = {}  # an ordered set

    def ask(self, residence: Residence) -> None:
        """Put one that is OUT into the queue for room.

        Raises:
            NoRoomError: that is more than the budget has, or than what the pinned ones leave of it. Nothing is changed.
        """
        self.check(residence)
        residence.move(Presence.QUEUED)
        self._queue[residence] = None

    def check(self, residence: Residence) -> None:
        """Refuse what can never have room. Raises what `ask` raises."""
        pinned = sum(held for other, held in self._held.items() if other.pinned and other is not residence)
        if residence.byte_size > self.budget - pinned:
            taken = f", of which pinned models take {in_words(pinned)}" if pinned else ""
            raise NoRoomError(
                f"{residence.name} takes {in_words(residence.byte_size)} of memory, and the budget is "
                f"{in_words(self.budget)}{taken}: raise --memory-budget, or serve the model elsewhere"
            )

    def try_admit(self, residence: Residence) -> bool:
        """Have one load that waits, if it is the first in the queue and there is room; then its bytes are counted."""
        if not self._is_next(residence) or self.counted + residence.byte_size > self.budget:
            return False
        residence.move(Presence.LOADING)
        del self._queue[residence]
        self._hold(residence, residence.byte_size)
        return True

    def lacks_room(self, residence: Residence) -> bool:
        """Tell whether others have to go for one that waits: it is the first in the queue, and too little is leaving."""
        leaving = sum(held for other, held in self._held.items() if other.presence is Presence.LEAVING)
        return self._is_next(residence) and self.counted - leaving + residence.byte_size > self.budget

    def candidates(self) -> list[Residence]:
        """List those that may be let go, the least recently used first."""
        resident = [other for other in self._held if other.presence is Presence.RESIDENT and not other.pinned]
        return sorted(resident, key=lambda other: other.last_used_ns)

    def withdraw(self, residence: Residence) -> None:
        """Let one that waits wait no more."""
        residence.move(Presence.OUT)
        del self._queue[residence]

    def settle(self, residence: Residence, byte_size: int) -> bool:
        """Count one that is loaded by what it takes in truth. False where there is no room for that: then it has to leave."""
        residence.byte_size = byte_size
        if self.counted - self._held[residence] + byte_size > self.budget:
            residence.move(Presence.LEAVING)
            return False
        residence.move(Presence.RESIDENT)
        self._hold(residence, byte_size)
        return True

    def recount(self, residence: Residence, byte_size: int, more: Residence | None = None) -> None:
        """Count a resident one anew, by what it had and what one that loads for it has at most; the latter is OUT then."""
        most = self._held[residence]
        if more is not None:
            most += self._held[more]
            self.gone(more)
        residence.byte_size = min(byte_size, most)
        self._hold(residence, residence.byte_size)

    def leave(self, residence: Residence) -> None:
        """Take note that a resident one goes. Its bytes are counted until it is gone."""
        residence.move(Presence.LEAVING)

    def gone(self, residence: Residence) -> None:
        """Count one no more: it has left, or failed to load."""
        residence.move(Presence.OUT)
        self.counted -= self._held.pop(residence)

    def holders(self) -> list[Residence]:
        """List all whose bytes are counted."""
        return list(self._held)

    def _is_next(self, residence: Residence) -> bool:
        return next(iter(self._queue), None) is residence

    def _hold(self, residence: Residence, byte_size: int) -> None:
        self.counted += byte_size - self._held.get(residence, 0)
        self._held[residence] = byte_size


def in_words(byte_size: int) -> str:
    """Write a size as people do, such as "1.5 GiB"."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if byte_size >= 1 << power:
            return f"{byte_size / (1 << power):.4g} {unit}"
    return f"{byte_size} bytes"

"""The budget of memory that models share: waiting for room, making room, and the threads that load at a first request."""

from __future__ import annotations

import logging
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from charonia.deadline import Deadline
from charonia.metric_families import MetricFamily, MetricKind, MetricSample
from charonia.residency import NoRoomError, Presence, ResidencyLedger, in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charonia.model import Model
    from charonia.residency import Residence

__all__ = ["MemoryBudget", "NobodyWaitsError", "Tenant"]

_log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 0.1
"""Who waits for room looks again after this at the latest: a sequence that was silent for too long ends without telling, and so
does a request that is taken back."""

_MOST_NAMES = 5
"""So many models are named at most, where everything is in use."""


class NobodyWaitsError(Exception):
    """Whoever wanted a model has gone, so that it is not loaded."""


@dataclass(frozen=True)
class _Composed:
    """An ensemble, and the models that it uses itself: their keys, see `charonia.model_names`."""

    key: str
    parts: frozenset[str]


class Tenant(Protocol):
    """A model version that may have to go out of memory, as the budget sees it."""

    residence: Residence

    @property
    def host_byte_size(self) -> int:
        """How many bytes of this machine's memory it takes now."""

    def move_out(self) -> Model | None:
        """Give what takes the memory, for good, unless it is in use now. The caller closes it. None if it is in use."""


class MemoryBudget:
    """Sees to it that what models take together stays within a budget. Any thread may call.

    Args:
        byte_size: the budget.
        wait_seconds: how long a load waits for room, while everything is in use.
        thread_count: how many models load side by side at a first request. The threads are joined by `close`.
    """

    def __init__(self, byte_size: int, wait_seconds: float, thread_count: int) -> None:
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()  # guards all below
        self._ledger = ResidencyLedger(byte_size)
        self._tenants: dict[Residence, Tenant] = {}
        self._composed: weakref.WeakKeyDictionary[Model, _Composed] = weakref.WeakKeyDictionary()
        self._waiting = 0
        self._loads = self._evictions = 0
        self._pool = ThreadPoolExecutor(thread_count, thread_name_prefix="charonia-resident")

    # -- who takes part

    def join(self, tenant: Tenant) -> None:
        """Take part, out of memory as yet.

        Raises:
            NoRoomError: it takes more than the budget has.
        """
        with self._changed:
            self._ledger.check(tenant.residence)
            self._tenants[tenant.residence] = tenant

    def leave(self, tenant: Tenant) -> None:
        """Take part no more. The tenant is out of memory."""
        with self._changed:
            self._tenants.pop(tenant.residence, None)

    def note_composed(self, model: Model, key: str, parts: Iterable[str]) -> None:
        """Spare the models of an ensemble, as long as others can go, while it has requests. All go by their keys."""
        with self._changed:
            self._composed[model] = _Composed(key, frozenset(parts))

    # -- room

    def run(self, load: Callable[[], object]) -> None:
        """Have a model loaded on a thread of the budget's own."""
        self._pool.submit(load)

    def deadline(self) -> Deadline:
        """Tell until when a load that is wanted now waits for room."""
        return Deadline(self._wait_seconds)

    def reserve(self, residence: Residence, deadline: Deadline, wanted: Callable[[], bool]) -> None:
        """Wait for room for a model, and let others go for it.

        Args:
            residence: who wants to load.
            deadline: how long to wait.
            wanted: tells whether anybody still wants the model.

        Raises:
            NoRoomError: it can never have room; or there was none until the deadline, since everything was in use.
            NobodyWaitsError: nobody wants it any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: residence.presence is Presence.OUT)  # it may just be leaving
            self._ledger.ask(residence)
            self._waiting += 1
        try:
            self._wait_for_room(residence, deadline, wanted)
        except BaseException:
            with self._changed:
                self._ledger.withdraw(residence)
            raise
        finally:
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()  # somebody else is the next now

    def _wait_for_room(self, residence: Residence, deadline: Deadline, wanted: Callable[[], bool]) -> None:
        while not self._try_reserve(residence, deadline):
            if not wanted():
                raise NobodyWaitsError

    def _try_reserve(self, residence: Residence, deadline: Deadline) -> bool:
        """Take room if there is some; or let one model go, or wait for a while."""
        with self._changed:
            if self._ledger.lacks_room(residence):
                self._weigh()
            if self._ledger.try_admit(residence):
                return True
            leaving, model = self._send_away() if self._ledger.lacks_room(residence) else (None, None)
            if leaving is None:
                self._check_patience(residence, deadline)
                self._changed.wait(_LOOK_AGAIN_SECONDS)
        if leaving is not None and model is not None:
            _log.info("%s goes out of memory, to make room for %s", leaving.name, residence.name)
            try:
                model.close()
            finally:
                self.free(leaving)
        return False

    def _weigh(self) -> None:
        """Count models by what they take now, where that is less than it was: instances of some may have gone meanwhile."""
        for other in self._ledger.candidates():
            byte_size = self._tenants[other].host_byte_size
            if byte_size:  # else it is just coming, or going
                self._ledger.recount(other, byte_size)

    def _send_away(self) -> tuple[Residence, Model] | tuple[None, None]:
        """Take the least recently used model that is not in use out of service."""
        spared = self._parts_in_use()
        candidates = self._ledger.candidates()
        for other in sorted(candidates, key=lambda one: one.key in spared):  # keeps the order otherwise
            model = self._tenants[other].move_out()
            if model is not None:
                self._ledger.leave(other)
                self._evictions += 1
                return other, model
        return None, None

    def _parts_in_use(self) -> frozenset[str]:
        """Tell the keys of the models of all ensembles that have requests, and of the ensembles among them."""
        found: set[str] = set()
        ahead = [ensemble.parts for model, ensemble in self._composed.items() if not model.idle]
        while ahead:
            parts = ahead.pop() - found
            found |= parts
            ahead += [ensemble.parts for ensemble in self._composed.values() if ensemble.key in parts]
        return frozenset(found)

    def _check_patience(self, residence: Residence, deadline: Deadline) -> None:
        """Wait no more when the time is over and nobody goes."""
        if not deadline.left and self._ledger.lacks_room(residence):
            busy = sorted({other.name for other in self._ledger.holders() if other.presence is not Presence.LEAVING})
            told = ", ".join(busy[:_MOST_NAMES]) + (
                f" and {len(busy) - _MOST_NAMES} more" if busy[_MOST_NAMES:] else ""
            )
            raise NoRoomError(
                f"{residence.name} has no room in the memory budget of {in_words(self._ledger.budget)}, since all that is "
                f"loaded is in use or pinned: {told}. Ask again later, or raise --memory-budget",
                retry_after_seconds=1,
            )

    def settle(self, residence: Residence, byte_size: int) -> bool:
        """Count a model that is loaded by what it takes. False where there is no room: it is to be closed, and set `free`."""
        with self._changed:
            settled = self._ledger.settle(residence, byte_size)
            self._loads += settled
            self._changed.notify_all()
            return settled

    def recount(self, residence: Residence, byte_size: int, more: Residence | None) -> None:
        """Count a resident model by what it takes now, which is as much as before and as `more` has room for, at most."""
        with self._changed:
            self._ledger.recount(residence, byte_size, more)
            self._changed.notify_all()

    def give_up(self, residence: Residence) -> None:
        """Take note that a resident model goes by itself; `free` follows."""
        with self._changed:
            self._ledger.leave(residence)

    def free(self, residence: Residence) -> None:
        """Give the room back of a model that has left, or that failed to load, if it has any."""
        with self._changed:
            if residence.presence is not Presence.OUT:
                self._ledger.gone(residence)
                self._changed.notify_all()

    def wake(self) -> None:
        """Have those look again who wait for room, if there are any: a model has nothing to do any more."""
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    @property
    def counted(self) -> int:
        """How many bytes are counted now; never more than the budget."""
        return self._ledger.counted

    def metrics(self) -> list[MetricFamily]:
        """Tell how full it is, and how often models come and go."""
        values = (
            ("budget_bytes", "How many bytes all models may take", MetricKind.GAUGE, self._ledger.budget),
            ("counted_bytes", "How many bytes are counted of models", MetricKind.GAUGE, self._ledger.counted),
            ("loads_total", "How often a model was brought into memory", MetricKind.COUNTER, self._loads),
            ("evictions_total", "How often a model had to make room", MetricKind.COUNTER, self._evictions),
        )
        return [
            MetricFamily(f"charonia_memory_{name}", description, kind, [MetricSample({}, value)])
            for name, description, kind, value in values
        ]

    def close(self) -> None:
        """Join the threads. All models are closed, so that nobody waits. Idempotent."""
        self._pool.shutdown()

"""The rate limiter: which instances may execute at the same time, where an operator wants that limited.

An instance executes only while it holds all resources that its model's configuration lists. Resources are counts in pools: one
pool for each device, or one for all where the resource is global. Whoever waits holds nothing, so that nobody waits for ever.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from charonia_protos.model_config_pb2 import ModelInstanceGroup

from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from charonia.config import ModelConfig

__all__ = ["MOST_OVERTAKEN", "Demand", "Precedence", "RateLimiter", "Resource", "ResourceLimit", "Seat", "demands"]

MOST_OVERTAKEN = 8
"""So many others may take a resource that one who is before them waits for; then it is kept for him."""

Resource: TypeAlias = "tuple[str, int | None]"
"""A resource's name, and its device: None where one pool serves all devices."""


@dataclass(frozen=True)
class ResourceLimit:
    """How much of a resource there is.

    Attributes:
        name: the resource's name.
        count: how much.
        device: on which device; None is each device. Of no account where the resource is global, as in the reference.
    """

    name: str
    count: int
    device: int | None = None


@dataclass(frozen=True)
class Demand:
    """What an instance needs for an execution.

    Attributes:
        resources: how much of which.
        priority: 1 is highest; an instance of priority 2 gets half as many turns.
    """

    resources: Mapping[Resource, int]
    priority: int = 1


def demands(config: ModelConfig) -> list[Demand]:
    """Tell what each instance of a normalised configuration needs, in their order; passive ones take no part."""
    found = []
    for group in config.instance_group:
        devices = group.gpus if group.kind == ModelInstanceGroup.KIND_GPU else [0]
        for device in () if group.passive else devices:
            resources = {
                (it.name, None if getattr(it, "global") else device): it.count
                for it in group.rate_limiter.resources
                if it.count
            }
            found += [Demand(resources, max(1, group.rate_limiter.priority))] * group.count
    return found


class Seat:
    """An instance at the rate limiter.

    Attributes:
        demand: what it needs.
        score: its executions times its priority; the lowest is first. Time that passed without it counts as if it had executed.
        arrival: since when it waits, as a number that grows.
        overtaken: how many have taken a resource that it waits for and were behind it.
        holds: whether it has what it needs.
        wake: released when it is given what it needs.
    """

    __slots__ = ("arrival", "demand", "holds", "overtaken", "score", "wake")

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.score = 0
        self.arrival = 0
        self.overtaken = 0
        self.holds = False
        self.wake = threading.Lock()
        self.wake.acquire()


class Precedence:
    """Who executes next: the rules alone, without threads.

    Args:
        size: tells how much there is of a resource.
    """

    def __init__(self, size: Callable[[Resource], int]) -> None:
        self._size = size
        self._used: Counter[Resource] = Counter()
        self._waiting: list[Seat] = []
        self._arrivals = 0
        self._floor = 0

    def ask(self, seat: Seat) -> None:
        """Let an instance wait for its turn."""
        self._arrivals += 1
        seat.arrival = self._arrivals
        seat.overtaken = 0
        seat.score = max(seat.score, self._floor)
        self._waiting.append(seat)

    def withdraw(self, seat: Seat) -> None:
        """Let it wait no more."""
        self._waiting.remove(seat)

    def grant(self) -> list[Seat]:
        """Give resources to those who wait, in their order; gives those who have them now and wait no more.

        Whoever cannot have all that he needs is passed by, but only so often.
        """
        granted: list[Seat] = []
        passed: list[Seat] = []
        kept: set[Resource] = set()
        for seat in sorted(self._waiting, key=lambda seat: (seat.score, seat.arrival)):
            wanted = seat.demand.resources
            if kept.isdisjoint(wanted) and all(self._fits(resource, count) for resource, count in wanted.items()):
                self._hold(seat)
                granted.append(seat)
                for other in passed:
                    other.overtaken += not wanted.keys().isdisjoint(other.demand.resources)
            else:
                passed.append(seat)
                if seat.overtaken >= MOST_OVERTAKEN:
                    kept.update(wanted)
        return granted

    def _fits(self, resource: Resource, count: int) -> bool:
        return self._used[resource] + count <= self._size(resource)

    def _hold(self, seat: Seat) -> None:
        self._waiting.remove(seat)
        self._used.update(seat.demand.resources)
        seat.holds = True
        self._floor = max(self._floor, seat.score)
        seat.score += seat.demand.priority

    def release(self, seat: Seat) -> None:
        """Take back what an instance holds, if it does."""
        if seat.holds:
            self._used.subtract(seat.demand.resources)
            seat.holds = False


class RateLimiter:
    """The pools of a server's resources, and the instances that share them. Any thread may call.

    Where there are limits, there is nothing of a resource without one. Where there are none, there is as much of a resource as
    the instance needs that needs most. Both as in the reference.

    Args:
        limits: how much there is.
    """

    def __init__(self, limits: Iterable[ResourceLimit] = ()) -> None:
        self._limits = {(limit.name, limit.device): limit.count for limit in limits}
        self._lock = threading.Lock()  # guards all below
        self._members: list[Seat] = []
        self._sizes: dict[Resource, int] = {}
        self._precedence = Precedence(lambda resource: self._sizes.get(resource, 0))

    def join(self, demands: Sequence[Demand]) -> list[Seat]:
        """Let the instances of a model take part, until `leave`; gives a seat for each.

        Raises:
            InvalidArgumentError: there is less of a resource than one of them needs, or its name stands both for a global
                resource and for one of each device. With the reference's texts.
        """
        joining = [Seat(demand) for demand in demands]
        with self._lock:
            members = [*self._members, *joining]
            self._sizes = self._sizes_for(members)
            self._members = members
            self._grant()
        return joining

    def leave(self, seats: Sequence[Seat]) -> None:
        """Let instances take part no more: none of them executes, or will."""
        leaving = set(seats)
        with self._lock:
            self._members = [seat for seat in self._members if seat not in leaving]
            self._sizes = self._sizes_for(self._members)

    def _sizes_for(self, seats: Iterable[Seat]) -> dict[Resource, int]:
        most: dict[Resource, int] = {}
        for seat in seats:
            for resource, count in seat.demand.resources.items():
                most[resource] = max(count, most.get(resource, 0))
        for name, device in most:
            if device is not None and (name, None) in most:
                raise InvalidArgumentError(
                    f'Resource "{name}" is present as both global and device-specific resource in the model configuration.'
                )
        if not self._limits:
            return most
        sizes = {resource: self._limit(*resource) for resource in most}
        for resource, needed in most.items():
            if sizes[resource] < needed:
                raise InvalidArgumentError(
                    f'Resource count for "{resource[0]}" is limited to {sizes[resource]} which will prevent scheduling of one '
                    f"or more model instances, the minimum required count is {needed}"
                )
        return sizes

    def _limit(self, name: str, device: int | None) -> int:
        if device is None:
            return max((count for (limited, _), count in self._limits.items() if limited == name), default=0)
        return self._limits.get((name, device), self._limits.get((name, None), 0))

    def take(self, seat: Seat) -> None:
        """Wait for all that an instance needs. It holds nothing."""
        if not seat.demand.resources:
            return
        with self._lock:
            self._precedence.ask(seat)
            self._grant()
        seat.wake.acquire()

    def try_take(self, seat: Seat) -> bool:
        """Take all that an instance needs, if it is there and nobody is before it. What it holds, it gives back first."""
        if not seat.demand.resources:
            return True
        with self._lock:
            self._precedence.release(seat)
            self._precedence.ask(seat)
            self._grant()
            if seat.wake.acquire(blocking=False):
                return True
            self._precedence.withdraw(seat)
            return False

    def give_back(self, seat: Seat) -> None:
        """Give back what an instance holds, if it does; whoever waits for it goes on."""
        if not seat.demand.resources:
            return
        with self._lock:
            self._precedence.release(seat)
            self._grant()

    def _grant(self) -> None:
        for seat in self._precedence.grant():
            seat.wake.release()

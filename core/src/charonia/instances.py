"""The instances of one model version: as many as its configuration asks for, also where that changes while they serve."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

from charonia.backend import InstanceContext
from charonia.instance import ModelInstance, instance_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.backend import LoadedModel, ModelContext
    from charonia.config import ModelConfig
    from charonia.deadline import Deadline
    from charonia.instance import InstancePlace
    from charonia.promptness import Promptness
    from charonia.scheduler import Scheduler
    from charonia.statistics import ModelStatistics

__all__ = ["Instances", "Lineup"]


class Lineup:
    """Instances as a configuration asks for them: some may serve already, the others are made and not started yet.

    Attributes:
        config: the configuration.
        members: all of them, in the configuration's order.
        joining: those that are not started.
        byte_size: how much of this machine's memory these take, as far as whoever had them made knows.
        held: what is closed when they are used or discarded.
    """

    def __init__(self, config: ModelConfig, members: Sequence[ModelInstance], joining: Sequence[ModelInstance]) -> None:
        self.config = config
        self.members = members
        self.joining = joining
        self.byte_size = 0
        self.held = ExitStack()

    def discard(self) -> None:
        """Close those that are not started."""
        with self.held:
            for instance in self.joining:
                instance.close(0)


class Instances:
    """The instances of a model version. Whoever calls `prepare` and `use` lets no other do so at the same time.

    Args:
        loaded: the backend's model; not owned.
        scheduler: where the instances get their work from; not owned.
        statistics: where their executions are counted.
        promptness: where it is noted how quick they are.
    """

    def __init__(
        self, loaded: LoadedModel, scheduler: Scheduler, statistics: ModelStatistics, promptness: Promptness
    ) -> None:
        self._loaded = loaded
        self._scheduler = scheduler
        self._statistics = statistics
        self._promptness = promptness
        self._members: Sequence[ModelInstance] = ()
        self._joined: dict[ModelInstance, int] = {}
        self._lock = threading.Lock()  # guards `_leaving`
        self._leaving: list[ModelInstance] = []

    @property
    def predictable(self) -> bool:
        """Whether the executions of all are; see `Execution.predictable`."""
        return all(instance.predictable for instance in self._members)

    @property
    def joined_byte_size(self) -> int:
        """How many bytes those take, by what their lineups said, that joined and still serve."""
        return sum(self._joined.values())

    def can_become(self, config: ModelConfig) -> bool:
        """Tell whether those that serve can become those of another configuration: at most, their number is different."""
        now = Counter(instance.place.kind for instance in self._members)
        then = Counter(place.kind for place in instance_places(config))
        return not now or now == then or (self._scheduler.resizable and now.keys() == then.keys())

    def prepare(self, context: ModelContext) -> Lineup:
        """Make the instances of a configuration that are not there yet.

        Raises:
            Exception: whatever the backend raised; those that were made for it are closed.
        """
        there = list(self._members)
        places = instance_places(context.config)
        members: list[ModelInstance] = []
        joining: list[ModelInstance] = []
        with ExitStack() as undo:
            for place in places:
                member = next((instance for instance in there if instance.place.kind == place.kind), None)
                if member is None:
                    member = self._make(place, InstanceContext(place.name, place.device, context, len(places)))
                    undo.callback(member.close, 0)
                    joining.append(member)
                else:
                    there.remove(member)
                members.append(member)
            undo.pop_all()
        return Lineup(context.config, members, joining)

    def _make(self, place: InstancePlace, context: InstanceContext) -> ModelInstance:
        return ModelInstance(
            self._loaded.instantiate(context),
            self._scheduler,
            self._statistics,
            promptness=self._promptness,
            place=place,
        )

    def use(self, lineup: Lineup) -> None:
        """Have these instances serve from now on. Those that are not among them go when they are finished, unwaited for."""
        active = [instance for instance in lineup.members if not instance.passive]
        leaving = [instance for instance in self._members if instance not in lineup.members]
        with self._lock:
            self._leaving += leaving
        for instance in leaving:
            instance.retire(self._forget)
        if not self._members:
            self._scheduler.attach(active)
        elif lineup.joining or leaving:
            self._scheduler.resize(lineup.config, active)
        self._members = lineup.members
        joined = {instance: lineup.byte_size // len(lineup.joining) for instance in lineup.joining}
        self._joined = {it: size for it, size in {**self._joined, **joined}.items() if it in lineup.members}
        for instance in lineup.joining:
            instance.start()
        for instance in leaving:
            if instance.passive:
                instance.close(0)
                self._forget(instance)

    def _forget(self, instance: ModelInstance) -> None:
        with self._lock:
            self._leaving.remove(instance)

    def close(self, deadline: Deadline) -> bool:
        """Join all threads, and close all executions. The scheduler must be closed. Idempotent.

        Gives False, and leaves instances alone, if some are still busy when the time is over.
        """
        with self._lock:
            leaving = list(self._leaving)
        closed = True
        for instance in [*self._members, *leaving]:
            closed = instance.close(deadline.left) and closed
        return closed

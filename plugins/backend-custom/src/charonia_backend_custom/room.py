"""How much of a model's work may be in progress at once at one instance."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from charonia.promptness import Promptness, size_of
from charonia.scheduler import DEFAULT, scheduler_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.backend import InstanceContext
    from charonia.request import InferenceRequest

__all__ = ["QuickRoom", "Room", "room_ahead"]

_AHEAD = 32
_AHEAD_BYTES = 1 << 21


class Room:
    """Counts the batches in progress. One thread at a time enters and waits; any thread may leave.

    Args:
        most: how many batches may be in progress.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()  # guards all below
        self._left = threading.Condition(self._lock)
        self._inside = 0
        self._enough = 0  # whoever waits goes on when there are fewer inside

    def enter(self, requests: Sequence[InferenceRequest]) -> None:
        """A batch of these requests begins."""
        with self._lock:
            self._inside += 1

    def leave(self) -> None:
        """A batch has ended."""
        with self._lock:
            self._inside -= 1
            if self._inside < self._enough:
                self._left.notify()

    def note(self, span: tuple[int, int]) -> None:
        """Learn when a batch began and ended to compute, in nanoseconds of one clock."""

    def forget(self) -> None:
        """Forget what was learned: another process executes from now on."""

    def wait(self) -> None:
        """Wait until one more batch may begin."""
        self._wait_below(self._most, self._most)

    def _wait_below(self, most: int, enough: int) -> None:
        """Where there are as many as may be, wait until there are fewer than is enough."""
        with self._lock:
            if self._inside >= most:
                self._enough = enough
                self._left.wait_for(lambda: self._inside < enough)
                self._enough = 0


class QuickRoom(Room):
    """Room for batches that are executed one after the other, and are passed on before it is their turn while that is quick.

    Then neither the model waits for the next batch, nor the thread that passes batches on for each single one to end. Where a
    batch takes long, the next one stays in the queue, where it can be taken back, and another instance can take it.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._promptness = Promptness()
        self._fitting = most

    def enter(self, requests: Sequence[InferenceRequest]) -> None:
        """A batch begins: as many as this one fit at once as do not need too much memory."""
        super().enter(requests)
        size = sum([size_of(request.inputs) for request in requests])
        self._fitting = min(self._most, max(1, _AHEAD_BYTES // max(size, 1)))

    def note(self, span: tuple[int, int]) -> None:
        """Learn when a batch began and ended to compute."""
        self._promptness.note(span[1] - span[0], 0)

    def forget(self) -> None:
        """Expect batches to take long, until others have proved otherwise."""
        self._promptness = Promptness()

    def wait(self) -> None:
        """Wait until one more batch may begin; if there is no room, until half of it is free, so as not to be woken for each."""
        if self._promptness.proven:
            self._wait_below(self._fitting, self._fitting // 2 + 1)
        else:
            self._wait_below(1, 1)


def room_ahead(context: InstanceContext) -> Room:
    """Make the room of an instance that executes one batch after the other.

    There is some ahead only where it does not matter when a batch leaves the queue: other schedulers merge and order requests
    as late as they can, and a rate limiter takes resources back as soon as the next batch is asked for.
    """
    config = context.model.config
    limited = any(group.HasField("rate_limiter") for group in config.instance_group)
    if scheduler_name(config) != DEFAULT or limited:
        return Room(1)
    return QuickRoom(max(1, _AHEAD // context.instance_count))

"""How much of a model's work may be in progress at once at one instance."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from charonia.mailbox import Wakeups
from charonia.promptness import Promptness, size_of
from charonia.scheduler import DEFAULT, scheduler_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.backend import InstanceContext
    from charonia.request import InferenceRequest

__all__ = ["QuickRoom", "Room", "room_ahead"]

_AHEAD = 80
_AHEAD_BYTES = 1 << 21
_SMALL = 1 << 10
_SHORT = 64


class Room:
    """Counts the batches in progress. One thread at a time enters and waits; any thread may leave.

    Args:
        most: how many batches may be in progress.
    """

    predictable: ClassVar[bool] = False
    """Whether there may be room at once, as `takes_at_once` tells."""

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

    def takes_at_once(self, request: InferenceRequest) -> bool:
        """Tell whether a request and the next one may begin now, and nobody who passes them on is held up."""
        return False

    def wait(self) -> None:
        """Wait until one more batch may begin."""
        self._wait_below(self._most, self._most)

    def _wait_below(self, most: int, enough: int) -> None:
        """Where there are as many as may be, wait until there are fewer than is enough. What is held back is sent before."""
        if self._inside >= most:
            Wakeups.of_this_thread().send()
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

    predictable: ClassVar[bool] = True

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._promptness = Promptness()
        self._fitting = most
        self._all_small = True  # all that have come since nothing was inside

    def enter(self, requests: Sequence[InferenceRequest]) -> None:
        """A batch begins: as many as this one fit at once as do not need too much memory."""
        size = sum([size_of(request.inputs) for request in requests])
        small = size <= _SMALL and all(map(_is_plain, requests))
        self._all_small = small and (self._all_small or not self._inside)
        super().enter(requests)
        self._fitting = self._most if size * self._most <= _AHEAD_BYTES else max(1, _AHEAD_BYTES // size)

    def note(self, span: tuple[int, int]) -> None:
        """Learn when a batch began and ended to compute."""
        self._promptness.note(span[1] - span[0])

    def forget(self) -> None:
        """Expect batches to take long, until others have proved otherwise."""
        self._promptness = Promptness()

    def takes_at_once(self, request: InferenceRequest) -> bool:
        """Tell whether a request and the next one may begin now: small ones, as many of which as fit a socket takes at once."""
        fitting = self._fitting if self._inside else self._most
        return (
            self._promptness.proven
            and self._inside + 1 < fitting
            and (self._all_small or not self._inside)
            and size_of(request.inputs) <= _SMALL
            and _is_plain(request)
        )

    def wait(self) -> None:
        """Wait until one more batch may begin; if there is no room, until half of it is free, so as not to be woken for each."""
        if self._promptness.proven:
            self._wait_below(self._fitting, self._fitting // 2 + 1)
        else:
            self._wait_below(1, 1)


def _is_plain(request: InferenceRequest) -> bool:
    """Tell whether a request can be large by nothing but its inputs."""
    return not request.parameters and len(request.id) <= _SHORT


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

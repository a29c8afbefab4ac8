"""The interface of schedulers.

A scheduler decides which requests are executed together, and when. It owns the queue of one model version and no thread:
each instance's thread asks it for the next batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from charonia.clock import Clock
    from charonia.config import ModelConfig
    from charonia.models import Models
    from charonia.request import InferenceRequest

__all__ = ["DEFAULT", "BatchReason", "FormedBatch", "Scheduler", "SchedulerContext", "scheduler_name"]

DEFAULT = "default"
"""The name of the scheduler of models that choose none."""


class BatchReason(StrEnum):
    """Why a batch was closed: why no further request joined it. A scheduler may have reasons of its own beside these."""

    UNBATCHED = "unbatched"
    """The scheduler does not merge requests, or one came alone and was executed at once."""
    FULL = "full"
    """It has as many elements as the model takes."""
    PREFERRED_SIZE = "preferred_size"
    """It has a size that the configuration prefers."""
    PAST_PREFERRED = "past_preferred"
    """The next request would have led past all sizes that the configuration prefers, or the last one has."""
    WOULD_OVERFLOW = "would_overflow"
    """The next request would have made it larger than the model takes."""
    DELAY_OVER = "delay_over"
    """Its oldest request has waited as long as it may."""
    SIGNATURE_CHANGED = "signature_changed"
    """The next request has other shapes, or other inputs."""
    QUEUE_EMPTY = "queue_empty"
    """An instance was free, and nothing else waited."""
    CLOSED = "closed"
    """The model is being unloaded."""


class FormedBatch(NamedTuple):
    """Requests that are executed together.

    Attributes:
        requests: at least one, in the order in which the execution gets them.
        reason: why it was closed: a `BatchReason`, or a scheduler's own.
        fixed: whether each has its place in the batch, so that those that have been cancelled meanwhile are executed, too.
    """

    requests: list[InferenceRequest]
    reason: str
    fixed: bool = False


@dataclass(frozen=True)
class SchedulerContext:
    """What a scheduler is told about the model version whose requests it schedules.

    Attributes:
        config: the configuration, complete and normalised.
        version: the version.
        directory: the model's directory on this machine.
        models: the other models of the server.
        clock: tells the time, and calls back.
    """

    config: ModelConfig
    version: int
    directory: Path
    models: Models
    clock: Clock


class Scheduler(ABC):
    """The queue of one model version, and the rules by which it becomes batches.

    The core calls `enqueue` from any thread and `next_batch` from one thread per instance. A request that `enqueue` took
    belongs to the scheduler until it is given out or answered; if `enqueue` raises, the request is still the caller's.

    A scheduler may let executions have a request again: it sets the `turns` of a request that it gives out; see `charonia.turns`.

    Args:
        context: the model version.
    """

    answers_itself: ClassVar[bool] = False
    """Whether it answers requests by itself, by those that it makes to other models. Its model then has neither a backend nor
    instances, and nobody asks for batches. A request's `started_ns` and `compute_ns` are its to set."""

    one_at_a_time: bool = False
    """Whether an instance asks for more only when its execution is over, also where that goes on after `execute` has returned."""

    resizable: bool = False
    """Whether `resize` may be called. Where it may not (the default), another number of instances makes another scheduler."""

    def __init__(self, context: SchedulerContext) -> None:
        self.context = context

    def turn(self, config: ModelConfig, place: int) -> AbstractContextManager[object]:
        """Let an instance execute, within the context, what does not come from the queue: a warm-up.

        Args:
            config: the configuration that is to be in force when the instance serves.
            place: the instance's place among those that the configuration asks for and that are not passive.
        """
        return nullcontext()

    def attach(self, instances: Sequence[Hashable]) -> None:
        """Learn of all instances that will ask for work, in their order. Called once, before the first request."""

    def resize(self, config: ModelConfig, instances: Sequence[Hashable]) -> None:
        """Learn of all instances that ask for work from now on, in their order. At least one of those that were there stays.

        Those that are not there any more finish what only they can finish; then `next_batch` gives them None.

        Args:
            config: the configuration that says so, complete and normalised. It differs from the earlier one in the number of
                instances alone.
            instances: the instances.
        """
        raise NotImplementedError(f"{type(self).__name__} says that it is not resizable")

    @abstractmethod
    def enqueue(self, request: InferenceRequest) -> None:
        """Take a request. Does not block.

        Raises:
            UnavailableError: the queue is full, or closed.
        """

    @abstractmethod
    def next_batch(self, instance: Hashable) -> FormedBatch | None:
        """Wait until there is work for this instance, and give it.

        None when there is no more: the scheduler is closed and its queue empty, or the instance is not wanted any more.
        Cancelled requests may be among the batch: the instance drops them, unless the batch is `fixed`.
        """

    def ready_batch(self, instance: Hashable) -> FormedBatch | None:
        """Give work for this instance that is there at once, without waiting.

        None where there is none, or where this scheduler cannot tell (the default): then the instance asks `next_batch`.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Refuse new requests and wake every waiting instance. What is queued is still given out. Idempotent."""

    @property
    @abstractmethod
    def pending(self) -> int:
        """How many requests wait in the queue."""

    @property
    def occupied(self) -> bool:
        """Whether it keeps something for requests that are still to come, such as the state of a sequence; by default nothing.

        Such a model stays in memory, whoever else needs room.
        """
        return False

    @property
    def ready(self) -> bool:
        """Whether requests can be answered now, where the scheduler answers by itself: whether its other models can. Quick."""
        return True

    def confirm_ready(self) -> bool:
        """Ask those other models themselves whether they are ready, which may take some seconds."""
        return True

    def borrow(self) -> Hashable | None:
        """Give an instance that waits for work, to a caller that will execute one request on it in its own thread.

        None where there is no such instance, where others wait already, or where this scheduler always queues (the default).
        Whoever borrowed an instance gives it back.
        """
        return None

    def give_back(self, instance: Hashable) -> None:
        """Take back an instance that `borrow` gave."""


def scheduler_name(config: ModelConfig) -> str:
    """Tell which scheduler a configuration asks for: the parameter `scheduler`, the section it has, else `DEFAULT`."""
    if "scheduler" in config.parameters:
        return config.parameters["scheduler"].string_value
    return config.WhichOneof("scheduling_choice") or DEFAULT

"""What the configuration's section `sequence_batching` says of slots and batches, in units to compute with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.config import ModelConfig

__all__ = ["Rules"]

_NS_PER_US = 1000


@dataclass(frozen=True)
class Rules:
    """The rules by which one model's sequences get slots, and their requests become batches.

    Attributes:
        slots: how many sequences each instance has at once.
        idle_ns: for how long a sequence may be silent until it has ended.
        most: how many requests a batch may have.
        oldest: whether batches are of the oldest requests; else each slot is a place in the batch.
        delay_ns: how long a request may be held back for others to join it.
        utilization: direct: the part of the slots, from 0 to 1, that must have a request for a batch not to be held back.
        preferred: oldest: the sizes that are executed as soon as they are reached.
        keeps_order: oldest: whether responses leave in the order of the requests' execution.
        iterative: whether each request is a sequence of its own, which its model may have executed again and again.
    """

    slots: int
    idle_ns: int
    most: int = 1
    oldest: bool = False
    delay_ns: int = 0
    utilization: float = 0.0
    preferred: frozenset[int] = frozenset()
    keeps_order: bool = False
    iterative: bool = False

    @classmethod
    def of(cls, config: ModelConfig) -> Rules:
        """Read a model's configuration, complete and normalised."""
        batching = config.sequence_batching
        most = max(1, config.max_batch_size)
        idle_ns = batching.max_sequence_idle_microseconds * _NS_PER_US
        if batching.HasField("oldest"):
            oldest = batching.oldest
            return cls(
                slots=oldest.max_candidate_sequences,
                idle_ns=idle_ns,
                most=most,
                oldest=True,
                delay_ns=oldest.max_queue_delay_microseconds * _NS_PER_US,
                preferred=frozenset(oldest.preferred_batch_size) or frozenset({most}),
                keeps_order=oldest.preserve_ordering and not batching.iterative_sequence,
                iterative=batching.iterative_sequence,
            )
        return cls(
            slots=most,
            idle_ns=idle_ns,
            most=most,
            delay_ns=batching.direct.max_queue_delay_microseconds * _NS_PER_US,
            utilization=batching.direct.minimum_slot_utilization,
            iterative=batching.iterative_sequence,
        )

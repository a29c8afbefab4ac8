"""What the configuration's section `dynamic_batching` says, in the units that the batcher computes with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.model_parameters import ModelParameters
from charonia_protos.model_config_pb2 import ModelQueuePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charonia.config import ModelConfig

    from charonia_scheduler_dynamic.batch_strategy import BatchStrategy

__all__ = ["MAX_QUEUE_BYTES", "QueuePolicy", "Rules"]

MAX_QUEUE_BYTES = "max_queue_bytes"
"""The model's parameter that bounds the bytes of the inputs of requests that wait."""

_NS_PER_US = 1000


@dataclass(frozen=True)
class QueuePolicy:
    """How long requests of one priority level may wait, and how many of them.

    Attributes:
        timeout_ns: how long one may wait, in nanoseconds; 0 for ever.
        overridable: whether a request may ask for a shorter time.
        delays: what happens then: the request goes behind the others of its level; else it is refused.
        most: how many may wait; 0 for any number.
    """

    timeout_ns: int = 0
    overridable: bool = False
    delays: bool = False
    most: int = 0

    @classmethod
    def of(cls, policy: ModelQueuePolicy) -> QueuePolicy:
        """Read a policy of the configuration."""
        return cls(
            timeout_ns=policy.default_timeout_microseconds * _NS_PER_US,
            overridable=policy.allow_timeout_override,
            delays=policy.timeout_action == ModelQueuePolicy.DELAY,
            most=policy.max_queue_size,
        )

    def timeout_of(self, asked_us: int) -> int:
        """Tell how long a request may wait that asks for so many microseconds, in nanoseconds; 0 for ever.

        As in the reference, a request can shorten the level's time, but neither lengthen it nor set one where there is none.
        """
        if self.overridable and 0 < asked_us * _NS_PER_US < self.timeout_ns:
            return asked_us * _NS_PER_US
        return self.timeout_ns


@dataclass(frozen=True)
class Rules:
    """The rules by which one model's requests become batches.

    Attributes:
        most: how many elements a batch may have; 1 where the model does not batch.
        preferred: the sizes that are executed as soon as they are reached.
        largest_preferred: the greatest of them.
        delay_ns: how long a request may be held back for others to join it.
        levels: how many priority levels there are; 0 where requests have none.
        default_level: the level of requests that ask for none, or for one that does not exist.
        policy: the policy of levels that have none of their own.
        policies: those that have, by level.
        keeps_order: whether responses leave in the order of their requests.
        most_bytes: how many bytes the inputs of waiting requests may have; 0 for any number.
        strategy: makes what the model's author has to say about one batch; None where that is nothing.
    """

    most: int
    preferred: frozenset[int]
    largest_preferred: int
    delay_ns: int = 0
    levels: int = 0
    default_level: int = 0
    policy: QueuePolicy = QueuePolicy()
    policies: Mapping[int, QueuePolicy] | None = None
    keeps_order: bool = False
    most_bytes: int = 0
    strategy: Callable[[], BatchStrategy] | None = None

    @classmethod
    def of(cls, config: ModelConfig, strategy: Callable[[], BatchStrategy] | None = None) -> Rules:
        """Read a model's configuration.

        Args:
            config: the configuration, complete and normalised.
            strategy: see above.

        Raises:
            InvalidArgumentError: a parameter of the model is wrong.
        """
        batching = config.dynamic_batching
        most = max(1, config.max_batch_size)
        preferred = frozenset(batching.preferred_batch_size) or frozenset({most})
        return cls(
            most=most,
            preferred=preferred,
            largest_preferred=max(preferred),
            delay_ns=batching.max_queue_delay_microseconds * _NS_PER_US,
            levels=batching.priority_levels,
            default_level=batching.default_priority_level if batching.priority_levels else 0,
            policy=QueuePolicy.of(batching.default_queue_policy),
            policies={
                level: QueuePolicy.of(policy)
                for level, policy in batching.priority_queue_policy.items()
                if batching.priority_levels
            },
            keeps_order=batching.preserve_ordering,
            most_bytes=ModelParameters(config.backend, config).number(MAX_QUEUE_BYTES),
            strategy=strategy,
        )

    @property
    def forms_ahead(self) -> bool:
        """Whether batches are formed while all instances are busy.

        As in the reference, they are not where requests may overtake each other or leave the queue: there it is decided last.
        """
        return self.levels <= 1 and self.policy == QueuePolicy() and not self.policies

    def level_of(self, priority: int) -> int:
        """Tell the level of a request that asks for `priority`."""
        return priority if 1 <= priority <= self.levels else self.default_level

    def policy_of(self, level: int) -> QueuePolicy:
        """Tell the policy of a level."""
        return (self.policies or {}).get(level, self.policy)

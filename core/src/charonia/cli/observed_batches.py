"""What the statistics of a model version say about its batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Observed"]

_OFTEN = 0.5
_HARDLY = 0.25
"""Who waits for less than this share of an execution waits for no other execution."""
_ALONE = 1.1
"""With fewer requests in an execution than this, on average, they are executed one by one."""
_FAILING = 0.05
"""Where more than this share of the requests fail, not all can be well."""
_NO_GAIN = 0.8
"""Where a batch computes for this share, or more, of the time that its elements would take one by one, it gains nothing."""
_FEW = 10
"""Fewer executions than this say nothing of what would be better."""
_LEAST_US = 200
"""What an execution takes to begin where nothing is in its way, and less than what is worth a change."""


@dataclass(frozen=True)
class Observed:
    """What was counted of a model version.

    Attributes:
        batches: how many executions there were, by the size of their batch.
        reasons: how many batches were closed for which reason; empty where nobody tells.
        requests: how many requests were answered well by these executions.
        queue_us: how long each of them waited on average, in microseconds.
        compute_us: how long an execution computed on average, in microseconds.
        compute_us_by_size: the same by the size of the batch; empty where nobody tells.
        cached: how many requests the response cache answered.
        failed: how many requests failed.
    """

    batches: Mapping[int, int]
    reasons: Mapping[str, int]
    requests: int = 0
    queue_us: float = 0.0
    compute_us: float = 0.0
    compute_us_by_size: Mapping[int, float] = field(default_factory=dict)
    cached: int = 0
    failed: int = 0

    @property
    def executions(self) -> int:
        """How many there were."""
        return sum(self.batches.values())

    @property
    def mean_size(self) -> float:
        """How many elements a batch has on average."""
        return sum(size * count for size, count in self.batches.items()) / max(self.executions, 1)

    @property
    def tells(self) -> bool:
        """Whether anything can be concluded from it."""
        return self.executions >= _FEW and bool(self.reasons)

    @property
    def growth(self) -> tuple[int, int, float] | None:
        """Two sizes that came often, and how many times as long the larger one computes; None where none can be compared."""
        often = [
            size for size, count in sorted(self.batches.items()) if count >= _FEW and size in self.compute_us_by_size
        ]
        if not often or often[-1] < 2 * often[0]:
            return None
        smaller, larger = (self.compute_us_by_size[size] for size in (often[0], often[-1]))
        return often[0], often[-1], larger / max(smaller, 1)

    @property
    def pays(self) -> bool:
        """Whether larger batches let more through, as far as is known: whether they compute less for each element."""
        if self.growth is None:
            return True
        small, large, times = self.growth
        return times < _NO_GAIN * large / small

    @property
    def all_requests(self) -> int:
        """How many requests there were, however they were answered."""
        return self.requests + self.cached + self.failed

    @property
    def fails(self) -> bool:
        """Whether so many requests fail that all cannot be well."""
        return self.failed > _FAILING * self.all_requests

    @property
    def alone(self) -> bool:
        """Whether hardly any request is executed together with another one."""
        return self.requests < _ALONE * self.executions

    def mostly(self, *reasons: str) -> bool:
        """Tell whether most batches were closed for these reasons."""
        total = sum(self.reasons.values())
        return total > 0 and sum(self.reasons.get(reason, 0) for reason in reasons) / total >= _OFTEN

    def busy(self, delay_us: float) -> bool:
        """Tell whether requests wait for executions, longer than for the delay that the configuration has them wait."""
        return self.queue_us - delay_us > max(_HARDLY * self.compute_us, _LEAST_US)

    @property
    def worthwhile_us(self) -> int:
        """For how long it is worth to wait for others: those who were answered together will ask again in that time."""
        return max(round(self.compute_us / 2), 100)

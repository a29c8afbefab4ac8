"""Why the requests of a model are executed together, or why not, in sentences, and which change of its configuration to try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.scheduler import BatchReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.config import ModelConfig

__all__ = ["Advice", "Observed", "advise"]

_MEANINGS: Mapping[str, str] = {
    BatchReason.UNBATCHED: "the scheduler took one request and looked for no other",
    BatchReason.FULL: "the batch was full",
    BatchReason.PREFERRED_SIZE: "it had a preferred size",
    BatchReason.WOULD_OVERFLOW: "the next request would have made it too large",
    BatchReason.DELAY_OVER: "its oldest request had waited as long as it may",
    BatchReason.SIGNATURE_CHANGED: "the next request had other shapes or inputs",
    BatchReason.QUEUE_EMPTY: "an instance was free and nothing else waited",
    BatchReason.CLOSED: "the model was being unloaded",
}
_OFTEN = 0.5
_NEARLY_FULL = 0.8


@dataclass(frozen=True)
class Observed:
    """What was counted of a model version.

    Attributes:
        batches: how many executions there were, by the size of their batch.
        reasons: how many batches were closed for which reason; empty where nobody tells.
        queue_us: how long a request waits on average, in microseconds; `compute_us` how long an execution computes.
        compute_us: see queue_us.
    """

    batches: Mapping[int, int]
    reasons: Mapping[str, int]
    queue_us: float = 0.0
    compute_us: float = 0.0

    @property
    def executions(self) -> int:
        """How many there were."""
        return sum(self.batches.values())

    @property
    def mean_size(self) -> float:
        """How many elements a batch has on average."""
        return sum(size * count for size, count in self.batches.items()) / max(self.executions, 1)


@dataclass(frozen=True)
class Advice:
    """What is told of a model.

    Attributes:
        sentences: what happens, and why.
        change: lines of its configuration to try, or "" where nothing is to be changed.
        because: why.
    """

    sentences: Sequence[str]
    change: str = ""
    because: str = ""


def advise(config: ModelConfig, observed: Observed) -> Advice:
    """Explain how a model's requests are batched.

    Args:
        config: its configuration, complete and normalised.
        observed: what was counted.
    """
    if config.HasField("ensemble_scheduling"):
        return Advice(["An ensemble executes nothing itself: ask for the models of its steps."])
    told = [*_counted(observed), *_reasons(observed)]
    if config.max_batch_size <= 1:
        return _single(config, told)
    if config.HasField("dynamic_batching"):
        return _dynamic(config, observed, told)
    if config.HasField("sequence_batching"):
        return Advice(
            [*told, "Requests of a sequence are executed in their order; batches are made of several sequences."]
        )
    return Advice(
        [*told, "Each execution takes one request, since the configuration has no section dynamic_batching."],
        "dynamic_batching { }",
        f"requests that wait are then executed together, up to {config.max_batch_size} elements",
    )


def _single(config: ModelConfig, told: Sequence[str]) -> Advice:
    """Explain a model whose executions cannot take more than one request."""
    sequences = config.HasField("sequence_batching")
    batched = sequences or config.HasField("dynamic_batching")
    return Advice(
        [*told, f"Each execution takes one request, since max_batch_size is {config.max_batch_size}."],
        "max_batch_size: 8" if batched else "max_batch_size: 8\ndynamic_batching { }",
        "if the model takes a batch dimension in front of its inputs, requests that wait can be executed together"
        + (", those of several sequences" if sequences else ""),
    )


def _counted(observed: Observed) -> list[str]:
    if not observed.executions:
        return ["Nothing was executed yet."]
    sizes = ", ".join(f"{count} of {size}" for size, count in sorted(observed.batches.items()))
    executions = "1 execution" if observed.executions == 1 else f"{observed.executions} executions"
    return [
        f"{executions} with {observed.mean_size:.1f} elements on average: {sizes}.",
        f"A request waits {observed.queue_us:.0f} us on average, and an execution computes {observed.compute_us:.0f} us.",
    ]


def _reasons(observed: Observed) -> list[str]:
    total = sum(observed.reasons.values())
    ordered = sorted(observed.reasons.items(), key=lambda item: -item[1])
    return [f"{count / total:.0%} of the batches were closed because {_meaning(reason)}." for reason, count in ordered]


def _meaning(reason: str) -> str:
    return _MEANINGS.get(reason, f"of the scheduler's own reason {reason!r}")


def _dynamic(config: ModelConfig, observed: Observed, told: Sequence[str]) -> Advice:
    total = sum(observed.reasons.values())

    def often(*reasons: str) -> bool:
        return total > 0 and sum(observed.reasons.get(reason, 0) for reason in reasons) / total >= _OFTEN

    delay = config.dynamic_batching.max_queue_delay_microseconds
    if often(BatchReason.FULL, BatchReason.WOULD_OVERFLOW, BatchReason.PREFERRED_SIZE):
        if observed.mean_size >= _NEARLY_FULL * config.max_batch_size and observed.queue_us > observed.compute_us:
            return Advice(
                told,
                f"max_batch_size: {2 * config.max_batch_size}",
                "batches are full and requests wait longer than an execution takes: larger batches, or more instances "
                "(instance_group), would let them through",
            )
        return Advice([*told, "Batches fill up: there is nothing to change."])
    if often(BatchReason.SIGNATURE_CHANGED):
        return Advice(
            told,
            "input [ { … allow_ragged_batch: true } ]",
            "requests of different shapes part the batches: have clients pad them to equal shapes, or let a model that can take "
            "them ragged",
        )
    if often(BatchReason.DELAY_OVER, BatchReason.QUEUE_EMPTY) and observed.mean_size < config.max_batch_size / 2:
        longer = max(2 * delay, round(observed.compute_us / 2), 100)
        return Advice(
            told,
            f"dynamic_batching {{ max_queue_delay_microseconds: {longer} }}",
            "requests come too slowly to fill a batch: waiting longer makes larger ones, at the price of that much latency; "
            "without a need for throughput, leave it as it is",
        )
    return Advice([*told, "There is nothing that a change of the configuration would obviously improve."])

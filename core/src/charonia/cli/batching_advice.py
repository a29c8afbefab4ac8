"""Why the requests of a model are executed together, or why not, in sentences, and which change of its configuration to try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.scheduler import BatchReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message

    from charonia.cli.observed_batches import Observed
    from charonia.config import ModelConfig

__all__ = ["Advice", "advise"]

_MEANINGS: Mapping[str, str] = {
    BatchReason.UNBATCHED: "the scheduler took one request and looked for no other",
    BatchReason.FULL: "the batch was full",
    BatchReason.PREFERRED_SIZE: "it had a preferred size",
    BatchReason.PAST_PREFERRED: "no preferred size could be reached any more",
    BatchReason.WOULD_OVERFLOW: "the next request would have made it too large",
    BatchReason.DELAY_OVER: "its oldest request had waited as long as it may",
    BatchReason.SIGNATURE_CHANGED: "the next request had other shapes or inputs",
    BatchReason.QUEUE_EMPTY: "an instance was free and nothing else waited",
    BatchReason.CLOSED: "the model was being unloaded",
}
_NEARLY_FULL = 0.8


@dataclass(frozen=True)
class Advice:
    """What is told of a model.

    Attributes:
        sentences: what happens, and why.
        change: lines of its configuration to try, or "" where nothing is to be changed; `…` stands for what stays.
        because: why.
    """

    sentences: Sequence[str]
    change: str = ""
    because: str = ""


_WAIT_LONGER = (
    "requests wait for executions that could have taken more of them: a delay lets those that come a moment later join, at the "
    "price of that much latency where they do not come"
)

_PAYS_NOT = (
    "Batches compute the longer the larger they are, so that larger ones would let hardly more through. More instances "
    "(instance_group) may, where the machine has something left for them."
)


def advise(config: ModelConfig, observed: Observed) -> Advice:
    """Explain how a model's requests are batched.

    Args:
        config: its configuration, complete and normalised.
        observed: what was counted.
    """
    if config.HasField("ensemble_scheduling"):
        models = ", ".join(dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step))
        return Advice([f"An ensemble executes nothing itself: ask for the models of its steps, {models}."])
    told = [*_counted(observed), *_reasons(observed)]
    if config.max_batch_size <= 1:
        return _single(config, told)
    if config.HasField("dynamic_batching"):
        return _dynamic(config, observed, told)
    if config.HasField("sequence_batching"):
        return _sequences(config, observed, told)
    return _plain(config, observed, told)


def _single(config: ModelConfig, told: Sequence[str]) -> Advice:
    """Explain a model whose executions cannot take more than one request."""
    sequences = config.HasField("sequence_batching")
    batched = sequences or config.HasField("dynamic_batching")
    because = (
        "if the model takes a batch dimension in front of its inputs, requests that wait can be executed together"
        + (", those of several sequences" if sequences else "")
        + (
            "; the dims of inputs and outputs are then written without that dimension"
            if not config.max_batch_size
            else ""
        )
    )
    return Advice(
        [*told, f"Each execution takes one request, since max_batch_size is {config.max_batch_size}."],
        "max_batch_size: 8" if batched else "max_batch_size: 8\ndynamic_batching { }",
        because,
    )


def _plain(config: ModelConfig, observed: Observed, told: Sequence[str]) -> Advice:
    """Explain a model that has no batcher."""
    told = [*told, "Each execution takes one request, since the configuration has no section dynamic_batching."]
    if not observed.pays:
        return Advice([*told, _PAYS_NOT])
    together = f"requests that wait are then executed together, up to {config.max_batch_size} elements"
    if observed.tells and not observed.busy(0):
        together += "; so far they hardly wait, and it makes no difference before more clients ask at the same time"
    return Advice(told, "dynamic_batching { }", together)


def _dynamic(config: ModelConfig, observed: Observed, told: Sequence[str]) -> Advice:
    if not observed.tells:
        few = ["So few executions do not tell what would be better."] if observed.reasons else []
        return Advice([*told, *few])
    if observed.mostly(
        BatchReason.FULL, BatchReason.WOULD_OVERFLOW, BatchReason.PREFERRED_SIZE, BatchReason.PAST_PREFERRED
    ):
        return _filling(config, observed, told)
    if observed.mostly(BatchReason.SIGNATURE_CHANGED):
        return _differing(config, told)
    if observed.mean_size < config.max_batch_size / 2:
        return _sparse(config, observed, told)
    return Advice([*told, "There is nothing that a change of the configuration would obviously improve."])


def _filling(config: ModelConfig, observed: Observed, told: Sequence[str]) -> Advice:
    """Explain batches that are as large as the configuration lets them be."""
    crowded = observed.queue_us > observed.compute_us
    if not crowded and not observed.fails:
        return Advice([*told, "Batches fill up: there is nothing to change."])
    if not observed.pays:
        return Advice([*told, _PAYS_NOT])
    if not crowded:
        return Advice(
            told,
            f"max_batch_size: {2 * config.max_batch_size}",
            "batches are full while requests fail: if that is since their time in the queue was over, larger batches, if the "
            "model takes them, or more instances (instance_group), would let them through",
        )
    small = observed.mean_size < _NEARLY_FULL * config.max_batch_size
    if small and observed.mostly(BatchReason.PREFERRED_SIZE, BatchReason.PAST_PREFERRED):
        return Advice(
            told,
            _dynamic_section(config, preferred_batch_size=f"[ {config.max_batch_size} ]"),
            "requests wait longer than an execution takes, while the preferred sizes keep batches small: without them, batches "
            "take all that waits",
        )
    return Advice(
        told,
        f"max_batch_size: {2 * config.max_batch_size}",
        "batches are full and requests wait longer than an execution takes: larger batches, if the model takes them, or more "
        "instances (instance_group), would let them through",
    )


def _differing(config: ModelConfig, told: Sequence[str]) -> Advice:
    """Explain batches that end where the next request is of another kind."""
    variable = [tensor.name for tensor in config.input if -1 in tensor.dims and not tensor.allow_ragged_batch]
    if not variable:
        return Advice(
            [*told, "Only requests that give the same optional inputs, and equal shape tensors, go together."]
        )
    return Advice(
        told,
        "\n".join(f'input [ {{ name: "{name}" … allow_ragged_batch: true }} ]' for name in variable),
        "requests of different shapes part the batches: have clients pad them to equal shapes, or let a model that can take "
        "them ragged",
    )


def _sparse(config: ModelConfig, observed: Observed, told: Sequence[str]) -> Advice:
    """Explain batches that are far from full."""
    delay_us = config.dynamic_batching.max_queue_delay_microseconds
    busy = observed.busy(delay_us)
    delay = _shorter_delay(observed, delay_us) if observed.mostly(BatchReason.DELAY_OVER) else None
    if delay is None and busy and observed.pays and delay_us < observed.worthwhile_us:
        delay = observed.worthwhile_us, _WAIT_LONGER
    if delay is not None:
        microseconds, because = delay
        return Advice(told, _dynamic_section(config, max_queue_delay_microseconds=str(microseconds)), because)
    if busy and not observed.pays:
        return Advice([*told, _PAYS_NOT])
    if not busy and observed.alone:
        return Advice(
            [*told, "Requests come one at a time, or find a free instance: there is nothing to be put together."]
        )
    return Advice([*told, "There is nothing that a change of the configuration would obviously improve."])


def _shorter_delay(observed: Observed, delay_us: int) -> tuple[int, str] | None:
    """Give a better delay, in microseconds, and why, where batches wait to the end of theirs; None where it is not too long."""
    if observed.alone and not observed.busy(delay_us):
        return 0, "hardly a request finds another one while it waits: without the delay each is answered sooner"
    if not observed.pays:
        return (
            0,
            "larger batches let hardly more through here: without the delay, which makes them, each is answered sooner",
        )
    if delay_us > 2 * observed.worthwhile_us:
        return observed.worthwhile_us, (
            "batches wait for longer than an execution takes, and do not fill up: nearly as many requests will join in a "
            "shorter time, and all are answered sooner"
        )
    return None


def _sequences(config: ModelConfig, observed: Observed, told: Sequence[str]) -> Advice:
    told = [*told, "Requests of a sequence are executed in their order; batches are made of several sequences."]
    section = config.sequence_batching
    oldest, worthwhile_us = section.HasField("oldest"), observed.worthwhile_us
    strategy = section.oldest if oldest else section.direct
    delay_us = strategy.max_queue_delay_microseconds
    if not oldest and not section.direct.minimum_slot_utilization:
        delay_us = 0  # the other one does nothing without it
    parted = observed.mostly(BatchReason.QUEUE_EMPTY, BatchReason.DELAY_OVER)
    small = observed.mean_size < _NEARLY_FULL * config.max_batch_size
    if not (observed.tells and parted and small and observed.busy(delay_us) and delay_us < worthwhile_us):
        return Advice(told)
    if not observed.pays:
        return Advice([*told, _PAYS_NOT])
    changed = {"max_queue_delay_microseconds": str(worthwhile_us)}
    if not oldest:
        changed["minimum_slot_utilization"] = "1"
    line = _section("oldest" if oldest else "direct", strategy, **changed)
    return Advice(told, f"sequence_batching {{ … {line} }}", _WAIT_LONGER)


def _dynamic_section(config: ModelConfig, **changed: str) -> str:
    section = type(config.dynamic_batching)()
    section.CopyFrom(config.dynamic_batching)
    if list(section.preferred_batch_size) == [config.max_batch_size]:  # as it is where nobody wrote one
        section.ClearField("preferred_batch_size")
    return _section("dynamic_batching", section, **changed)


def _section(name: str, section: Message, **changed: str) -> str:
    """Write a section with what is to be changed in it."""
    stays = "… " if any(field.name not in changed for field, _ in section.ListFields()) else ""
    return f"{name} {{ {stays}{' '.join(f'{field}: {value}' for field, value in changed.items())} }}"


def _counted(observed: Observed) -> list[str]:
    if not observed.executions:
        told = ["Nothing was executed yet."]
    else:
        sizes = ", ".join(f"{count} of {size}" for size, count in sorted(observed.batches.items()))
        executions = "1 execution" if observed.executions == 1 else f"{observed.executions} executions"
        told = [
            f"{executions} with {observed.mean_size:.1f} elements on average: {sizes}.",
            f"A request waits {observed.queue_us:.0f} us on average, and an execution computes {observed.compute_us:.0f} us.",
        ]
        if observed.growth is not None:
            small, large, times = observed.growth
            told.append(f"One with {large} elements computes {times:.1f} times as long as one with {small}.")
    whole = observed.all_requests
    if observed.cached:
        told.append(f"{observed.cached} of {whole} requests were answered from the response cache, and not executed.")
    if observed.failed:
        told.append(
            f"{observed.failed} of {whole} requests failed: the metric nv_inference_request_failure has the reasons."
        )
    return told


def _reasons(observed: Observed) -> list[str]:
    total = sum(observed.reasons.values())
    ordered = sorted(observed.reasons.items(), key=lambda item: -item[1])
    return [f"{count / total:.0%} of the batches were closed because {_meaning(reason)}." for reason, count in ordered]


def _meaning(reason: str) -> str:
    return _MEANINGS.get(reason, f"of the scheduler's own reason {reason!r}")

"""What a configuration leaves open, filled in as the reference fills it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_protos.model_config_pb2 import ModelConfig, ModelInstanceGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["normalise"]

_DEFAULT_SEQUENCE_IDLE_MICROSECONDS = 1_000_000


def normalise(config: ModelConfig, *, gpus: Sequence[int] = (), default_cpu_count: int = 1) -> ModelConfig:
    """Fill in what the configuration leaves open; give a copy. Doing it twice changes nothing.

    Args:
        config: the configuration, with its name, and with platform and backend as far as they are known.
        gpus: the numbers of the GPUs that the server and the backend can use.
        default_cpu_count: how many instances the backend wants on the CPU where the configuration does not say.
    """
    filled = ModelConfig()
    filled.CopyFrom(config)
    if not filled.version_policy.WhichOneof("policy_choice"):
        filled.version_policy.latest.num_versions = 1
    _fill_scheduling(filled)
    if filled.platform == "ensemble":
        filled.model_transaction_policy.SetInParent()
        return filled
    for name in ("input_pinned_memory", "output_pinned_memory"):
        if not filled.optimization.HasField(name):
            getattr(filled.optimization, name).enable = True
    _fill_instance_groups(filled, gpus, default_cpu_count)
    return filled


def _fill_scheduling(config: ModelConfig) -> None:
    batches = [config.max_batch_size] if config.max_batch_size > 0 else []
    choice = config.WhichOneof("scheduling_choice")
    if choice == "dynamic_batching" and not config.dynamic_batching.preferred_batch_size:
        config.dynamic_batching.preferred_batch_size.extend(batches)
    if choice == "sequence_batching":
        sequence = config.sequence_batching
        if not sequence.max_sequence_idle_microseconds:
            sequence.max_sequence_idle_microseconds = _DEFAULT_SEQUENCE_IDLE_MICROSECONDS
        if sequence.HasField("oldest") and not sequence.oldest.preferred_batch_size:
            sequence.oldest.preferred_batch_size.extend(batches)


def _fill_instance_groups(config: ModelConfig, gpus: Sequence[int], default_cpu_count: int) -> None:
    if not config.instance_group:
        config.instance_group.add(name=config.name)
    for index, group in enumerate(config.instance_group):
        group.name = group.name or f"{config.name}_{index}"
        if group.kind == ModelInstanceGroup.KIND_AUTO:
            usable = bool(gpus) and set(group.gpus) <= set(gpus)
            group.kind = ModelInstanceGroup.KIND_GPU if usable else ModelInstanceGroup.KIND_CPU
        if group.kind == ModelInstanceGroup.KIND_GPU and not group.gpus:
            group.gpus.extend(gpus)
        if group.count < 1:  # as in the reference, which takes a negative number for none, too
            group.count = default_cpu_count if group.kind == ModelInstanceGroup.KIND_CPU else 1

"""Completing a model's configuration from its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from charonia.config import ModelConfig
from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from charonia.backend import ModelContext

    from charonia_backend_onnx.graph import Graph, GraphTensor

__all__ = ["complete_from_graph", "is_complete", "scheduler_inputs"]


def is_complete(config: ModelConfig) -> bool:
    """Tell whether inputs and outputs are written in full; as in the reference, nothing is completed then."""
    tensors: list[Any] = [*config.input, *config.output]
    written = all(tensor.data_type and (tensor.dims or tensor.HasField("reshape")) for tensor in tensors)
    return bool(config.input and config.output) and written


def scheduler_inputs(config: ModelConfig) -> set[str]:
    """List the inputs that a sequence scheduler gives to the model, so that no client does: controls and states."""
    sequences = config.sequence_batching
    return {control.name for control in sequences.control_input} | {state.input_name for state in sequences.state}


def complete_from_graph(context: ModelContext, graph: Graph) -> ModelConfig:
    """Fill in inputs, outputs, max_batch_size and dynamic batching from the graph, as the reference does; give a copy.

    Where some tensor's dims are written and max_batch_size is not, dims of the graph's full rank say that the model shall
    not batch.

    Raises:
        InvalidArgumentError: the configuration wants batches and the graph's first dimensions are fixed.
    """
    config = ModelConfig()
    config.CopyFrom(context.config)
    if graph.batches and not _has_full_dims(config, graph):
        if config.max_batch_size == 0:
            config.max_batch_size = context.default_max_batch_size
        wanted = config.max_batch_size > 1 and config.WhichOneof("scheduling_choice") is None
        if wanted and "dynamic_batching" in context.schedulers:
            config.dynamic_batching.SetInParent()
    elif config.max_batch_size > 0 and not graph.batches:
        raise InvalidArgumentError(
            f"autofill failed for model '{context.name}': model does not support batching while non-zero max_batch_size is "
            f"specified: set max_batch_size to 0, or export the model with a variable first dimension"
        )
    batching = config.max_batch_size > 0
    _fill(config.input, graph.inputs, batching=batching, given_by_others=scheduler_inputs(config))
    _fill(config.output, graph.outputs, batching=batching)
    return config


def _has_full_dims(config: ModelConfig, graph: Graph) -> bool:
    if config.max_batch_size > 0:
        return False
    by_name: Mapping[str, GraphTensor] = {tensor.name: tensor for tensor in (*graph.inputs, *graph.outputs)}
    tensors: list[Any] = [*config.input, *config.output]
    return any(
        len(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims) == len(by_name[tensor.name].shape)
        for tensor in tensors
        if tensor.name in by_name
    )


def _fill(
    written: Any, found: Sequence[GraphTensor], *, batching: bool, given_by_others: AbstractSet[str] = frozenset()
) -> None:
    by_name = {tensor.name: tensor for tensor in written}
    partial = bool(by_name)
    for tensor in found:
        entry = by_name.get(tensor.name)
        if entry is None:
            if partial or tensor.name in given_by_others:
                continue  # a written list is the user's choice; outputs may be left out on purpose
            entry = written.add(name=tensor.name)
            if tensor.optional:
                entry.optional = True
        if not entry.data_type:
            entry.data_type = tensor.datatype.number
        if not entry.dims and not entry.HasField("reshape"):
            dims = tensor.shape[1:] if batching else tensor.shape
            entry.dims.extend([size or -1 for size in dims] or [1])  # a configuration has no dimension of 0
            if not dims and batching:
                entry.reshape.SetInParent()

"""A model's configuration beside its graph: what is missing is filled in, what is written is checked."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from charonia.config import ModelConfig
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.backend import ModelContext

    from charonia_backend_onnx.graph import Graph, GraphTensor

__all__ = ["check_against_graph", "complete_from_graph", "is_complete"]


def is_complete(config: ModelConfig) -> bool:
    """Tell whether inputs and outputs are written in full; as in the reference, nothing is completed then."""
    tensors: list[Any] = [*config.input, *config.output]
    written = all(tensor.data_type and (tensor.dims or tensor.HasField("reshape")) for tensor in tensors)
    return bool(config.input and config.output) and written


def complete_from_graph(context: ModelContext, graph: Graph) -> ModelConfig:
    """Fill in inputs, outputs, max_batch_size and dynamic batching from the graph, as the reference does; give a copy.

    Raises:
        InvalidArgumentError: the configuration wants batches and the graph's first dimensions are fixed.
    """
    config = ModelConfig()
    config.CopyFrom(context.config)
    if graph.batches:
        if config.max_batch_size == 0:
            config.max_batch_size = context.default_max_batch_size
        wanted = config.max_batch_size > 1 and config.WhichOneof("scheduling_choice") is None
        if wanted and "dynamic_batching" in context.schedulers:
            config.dynamic_batching.SetInParent()
    elif config.max_batch_size > 0:
        raise InvalidArgumentError(
            f"autofill failed for model '{context.name}': model does not support batching while non-zero max_batch_size is "
            f"specified: set max_batch_size to 0, or export the model with a variable first dimension"
        )
    batching = config.max_batch_size > 0
    _fill(config.input, graph.inputs, batching=batching)
    _fill(config.output, graph.outputs, batching=batching)
    return config


def _fill(written: Any, found: Sequence[GraphTensor], *, batching: bool) -> None:
    by_name = {tensor.name: tensor for tensor in written}
    partial = bool(by_name)
    for tensor in found:
        entry = by_name.get(tensor.name)
        if entry is None:
            if partial:  # a written list is the user's choice; outputs may be left out on purpose
                continue
            entry = written.add(name=tensor.name)
        if not entry.data_type:
            entry.data_type = tensor.datatype.number
        if not entry.dims and not entry.HasField("reshape"):
            dims = tensor.shape[1:] if batching else tensor.shape
            entry.dims.extend(dims or (1,))
            if not dims and batching:
                entry.reshape.SetInParent()


def check_against_graph(config: ModelConfig, graph: Graph) -> None:
    """Check that a configuration's inputs and outputs are the graph's.

    Raises:
        InvalidArgumentError: they are not; says which tensor, what each side has, and what to do.
    """
    _check_names("input", config.name, [tensor.name for tensor in config.input], graph.inputs)
    _check_names("output", config.name, [tensor.name for tensor in config.output], graph.outputs)
    if len(config.input) != len(graph.inputs):
        missing = ", ".join(
            f"'{tensor.name}'" for tensor in graph.inputs if tensor.name not in {item.name for item in config.input}
        )
        raise InvalidArgumentError(
            f"unable to load model '{config.name}', configuration expects {len(config.input)} inputs, model provides "
            f"{len(graph.inputs)}: add {missing} to the configuration"
        )
    for kind, written, found in (("input", config.input, graph.inputs), ("output", config.output, graph.outputs)):
        by_name = {tensor.name: tensor for tensor in found}
        for tensor in written:
            _check_tensor(kind, config, tensor, by_name[tensor.name])


def _check_names(kind: str, model: str, written: Sequence[str], found: Sequence[GraphTensor]) -> None:
    allowed = [tensor.name for tensor in found]
    for name in written:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise InvalidArgumentError(
                f"unexpected inference {kind} '{name}' in the configuration of model '{model}', allowed {kind}s are: "
                f"{', '.join(allowed)}{hint}"
            )


def _check_tensor(kind: str, config: ModelConfig, written: Any, found: GraphTensor) -> None:
    if written.data_type != found.datatype.number:
        raise InvalidArgumentError(
            f"unable to load model '{config.name}', configuration expects datatype "
            f"{DataType.of_number(written.data_type).config_name} for {kind} '{written.name}', model provides "
            f"{found.datatype.config_name}"
        )
    batching = config.max_batch_size > 0
    dims = tuple(written.reshape.shape if written.HasField("reshape") else written.dims)
    if not batching and not found.shape and dims == (1,):
        return  # a scalar, which the protocol shows as one element
    shape = (-1, *dims) if batching else dims
    if batching and (not found.shape or found.shape[0] != -1):
        raise InvalidArgumentError(
            f"model '{config.name}', tensor '{written.name}': for the model to support batching the shape should have at least "
            f"1 dimension and the first dimension must be -1; but shape expected by the model is {list(found.shape)}: set "
            "max_batch_size to 0 and write the full shape into dims"
        )
    if len(shape) != len(found.shape) or any(
        size not in {-1, expected} and expected != -1 for size, expected in zip(shape, found.shape, strict=True)
    ):
        raise InvalidArgumentError(
            f"model '{config.name}', tensor '{written.name}': the model expects {len(found.shape)} dimensions (shape "
            f"{list(found.shape)}) but the model configuration specifies {len(shape)} dimensions (shape {list(shape)}"
            + (", with the batch dimension that max_batch_size > 0 puts in front)" if batching else ")")
        )

"""Checking a model's configuration against its graph."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError, UnsupportedError

from charonia_backend_onnx.complete import scheduler_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.config import ModelConfig

    from charonia_backend_onnx.graph import Graph, GraphTensor

__all__ = ["check_against_graph"]


def check_against_graph(config: ModelConfig, graph: Graph) -> None:
    """Check that a configuration's inputs and outputs are the graph's.

    Outputs may be left out, and so may inputs that have a default in the graph.

    Raises:
        InvalidArgumentError: a tensor is unknown, missing, or has another datatype or shape; the text says which, what each
            side has, and what to do.
        UnsupportedError: no way through ONNX Runtime's Python interface leads to this signature.
    """
    possible = (*graph.inputs, *graph.initializers)
    _check_names("input", config.name, [tensor.name for tensor in config.input], possible)
    _check_names("output", config.name, [tensor.name for tensor in config.output], graph.outputs)
    _check_nothing_missing(config, graph)
    for kind, written, found in (("input", config.input, possible), ("output", config.output, graph.outputs)):
        by_name = {tensor.name: tensor for tensor in found}
        for tensor in written:
            _check_datatype(kind, config, tensor, by_name[tensor.name])
            _check_shape(kind, config, tensor, by_name[tensor.name])
    _check_passable(config)


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


def _check_nothing_missing(config: ModelConfig, graph: Graph) -> None:
    given = {tensor.name for tensor in config.input} | scheduler_inputs(config)
    missing = [tensor.name for tensor in graph.inputs if tensor.name not in given and not tensor.optional]
    if missing:
        raise InvalidArgumentError(
            f"unable to load model '{config.name}', configuration expects {len(config.input)} inputs, model provides "
            f"{len(graph.inputs)}: add {', '.join(repr(name) for name in missing)} to the configuration's input, or leave "
            "input out altogether to have it completed"
        )


def _check_datatype(kind: str, config: ModelConfig, written: Any, found: GraphTensor) -> None:
    if written.data_type != found.datatype.number:
        raise InvalidArgumentError(
            f"unable to load model '{config.name}', configuration expects datatype "
            f"{DataType.of_number(written.data_type).config_name} for {kind} '{written.name}', model provides "
            f"{found.datatype.config_name}: write data_type: {found.datatype.config_name}"
        )


def _check_shape(kind: str, config: ModelConfig, written: Any, found: GraphTensor) -> None:
    batching = config.max_batch_size > 0
    dims = tuple(written.reshape.shape if written.HasField("reshape") else written.dims)
    shape = (-1, *dims) if batching else dims
    where = f"model '{config.name}', tensor '{written.name}'"
    if batching and (not found.shape or found.shape[0] != -1):
        raise InvalidArgumentError(
            f"{where}: for the model to support batching the shape should have at least 1 dimension and the first dimension "
            f"must be -1; but shape expected by the model is {list(found.shape)}: set max_batch_size to 0 and write the full "
            "shape into dims, or export the model with a variable first dimension"
        )
    if not found.shape:
        return  # a scalar, which the protocol shows as one element, or a tensor of a shape that the graph does not tell
    fix = f"write dims: {list(found.shape[1:] if batching else found.shape)} for this {kind}"
    if len(shape) != len(found.shape):
        batch = ", an initial batch dimension because max_batch_size > 0 and then the dims" if batching else ""
        raise InvalidArgumentError(
            f"{where}: the model expects {len(found.shape)} dimensions (shape {list(found.shape)}) but the model "
            f"configuration specifies {len(shape)} dimensions (shape {list(shape)}{batch}): {fix}"
        )
    if any(-1 not in {size, expected} and size != expected for size, expected in zip(shape, found.shape, strict=True)):
        raise InvalidArgumentError(
            f"{where}: the model expects shape {list(found.shape)} but the model configuration specifies shape "
            f"{list(shape)}: {fix}"
        )


def _check_passable(config: ModelConfig) -> None:
    """ONNX Runtime takes text only as numpy arrays, and gives bfloat16 only as values of its own, in one call either or."""
    text = next((tensor.name for tensor in config.input if tensor.data_type == DataType.BYTES.number), None)
    brain = next((tensor.name for tensor in config.output if tensor.data_type == DataType.BF16.number), None)
    if text is not None and brain is not None:
        raise UnsupportedError(
            f"model '{config.name}' has the BYTES input '{text}' and the BF16 output '{brain}', which ONNX Runtime's Python "
            "interface cannot have in one call: cast the output to FP32 in the graph"
        )

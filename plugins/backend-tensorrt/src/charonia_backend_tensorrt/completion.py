"""A model's configuration and its engine: completing the one from the other, and checking one against the other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError
from charonia.graph import check_against_graph, complete_from_graph

from charonia_backend_tensorrt.profiles import largest_batch
from charonia_backend_tensorrt.tensors import graph_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.backend import ModelContext
    from charonia.config import ModelConfig

    from charonia_backend_tensorrt.tensors import EngineTensor

__all__ = ["check_against_engine", "complete_from_engine"]


def complete_from_engine(context: ModelContext, tensors: Sequence[EngineTensor]) -> ModelConfig:
    """Fill in inputs, outputs, max_batch_size and dynamic batching from an engine, as the reference does; give a copy.

    Raises:
        InvalidArgumentError: the configuration wants batches that the engine does not take.
    """
    _check_batch(context.config, tensors)
    config = complete_from_graph(
        dataclasses.replace(context, default_max_batch_size=largest_batch(tensors)), graph_of(tensors)
    )
    for entry in _entries(config):
        if entry.name in _on_host(tensors):
            entry.is_shape_tensor = True
    return config


def check_against_engine(config: ModelConfig, tensors: Sequence[EngineTensor]) -> None:
    """Check that a complete configuration's inputs, outputs and batches are the engine's.

    Raises:
        InvalidArgumentError: they are not.
    """
    check_against_graph(config, graph_of(tensors))
    _check_batch(config, tensors)
    for entry in _entries(config):
        where = f"'{entry.name}' in the configuration of model '{config.name}'"
        is_shape_tensor = entry.name in _on_host(tensors)
        if entry.is_shape_tensor != is_shape_tensor:
            called = "a shape tensor" if entry.is_shape_tensor else "no shape tensor"
            fix = "write is_shape_tensor: true" if is_shape_tensor else "remove is_shape_tensor"
            raise InvalidArgumentError(f"{where} is called {called}, but the engine says otherwise: {fix}")
        if entry.is_non_linear_format_io:
            raise InvalidArgumentError(
                f"{where} has is_non_linear_format_io: remove it, since clients give and get the usual order of elements here, "
                "which this server turns into the engine's and back"
            )


def _check_batch(config: ModelConfig, tensors: Sequence[EngineTensor]) -> None:
    largest = largest_batch(tensors)
    if graph_of(tensors).batches and config.max_batch_size > largest:
        raise InvalidArgumentError(
            f"model '{config.name}' has max_batch_size {config.max_batch_size}, but its engine takes batches of {largest} at the "
            f"most: write max_batch_size: {largest}, or build the plan with a profile for larger ones"
        )


def _on_host(tensors: Sequence[EngineTensor]) -> set[str]:
    return {tensor.name for tensor in tensors if tensor.on_host}


def _entries(config: ModelConfig) -> list[Any]:
    return [*config.input, *config.output]

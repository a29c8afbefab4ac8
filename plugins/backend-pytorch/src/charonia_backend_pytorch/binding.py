"""Which of a configuration's inputs and outputs stand for which arguments and results of the program."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.graph import Graph, GraphTensor, check_against_graph, made_inputs, state_outputs

from charonia_backend_pytorch.interface import Interface, Kind, Place
from charonia_backend_pytorch.naming import Rule, indices_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.config import ModelConfig

__all__ = ["bind_inputs", "bind_outputs", "output_datatypes", "output_indices"]

_log = logging.getLogger("charonia.backend_pytorch.binding")


def bind_inputs(config: ModelConfig, interface: Interface) -> Mapping[str, Place]:
    """Find the argument for which each input stands, those that a scheduler makes included; in the order of the call.

    Raises:
        InvalidArgumentError: inputs are missing, too many, or of a kind that the argument does not take.
    """
    names = [tensor.name for tensor in config.input] + made_inputs(config)
    if not names:
        raise InvalidArgumentError(
            f"unable to load model '{config.name}': model configuration must contain at least one input, none were specified: "
            f"write input, with data_type and dims, which the file does not tell; {_forward(interface)}"
        )
    if interface.arguments is None or interface.dictionary:
        bound = {name: Place(name, Kind.TENSOR if interface.dictionary else Kind.ANY) for name in names}
    else:
        bound = _bind(config, interface, names, interface.arguments)
    for tensor in config.input:
        _check_kind(config, tensor, bound[tensor.name].kind)
    return bound


def _bind(
    config: ModelConfig, interface: Interface, names: Sequence[str], arguments: Sequence[Place]
) -> dict[str, Place]:
    indices, rule = indices_of(names, [place.names for place in arguments])
    missing = [place.name for index, place in enumerate(arguments) if place.required and index not in indices]
    beyond = [name for name, index in zip(names, indices, strict=True) if index >= len(arguments)]
    if missing or beyond or len(set(indices)) < len(indices):
        raise InvalidArgumentError(
            f"unable to load model '{config.name}', configuration expects {len(names)} inputs ({', '.join(names)}), model "
            f"provides {len(arguments)}: {_forward(interface)}: name the inputs so, or INPUT__0, INPUT__1, …"
        )
    if rule is Rule.ORDER and len(names) > 1:
        _log.warning(
            'model "%s": the inputs %s are neither the arguments of the model nor do they follow <name>__<index>, so that their '
            "order decides; %s",
            config.name,
            ", ".join(names),
            _forward(interface),
        )
    return {name: arguments[index] for index, name in sorted(zip(indices, names, strict=True))}


def _forward(interface: Interface) -> str:
    if interface.dictionary:
        return "forward takes a dictionary, whose keys are the inputs' names"
    if interface.arguments is None:
        return "forward takes any number of tensors"
    written = [
        f"{place.name}{'' if place.required else ' (optional)'}: {place.kind.value}" for place in interface.arguments
    ]
    return f"forward takes {', '.join(written) or 'nothing'}"


def _check_kind(config: ModelConfig, tensor: Any, kind: Kind) -> None:
    where = f"input '{tensor.name}' of model '{config.name}'"
    text = tensor.data_type == DataType.BYTES.number
    if (kind is Kind.STRINGS and not text) or (kind in {Kind.TENSOR, Kind.NUMBER} and text):
        found = DataType.of_number(tensor.data_type).config_name
        expected = (
            "TYPE_STRING" if kind is Kind.STRINGS else "the datatype of a number, for PyTorch has no tensors of strings"
        )
        raise InvalidArgumentError(f"{where} is {found}, but the model takes {kind.value} there: expected {expected}")
    if text:
        _check_string_dims(config, tensor, "input")
    if kind is Kind.NUMBER and (config.max_batch_size > 0 or list(tensor.dims) != [1]):
        raise InvalidArgumentError(
            f"{where} is a number to the model, so that it cannot be batched: write dims: [ 1 ], and no max_batch_size"
        )


def _check_string_dims(config: ModelConfig, tensor: Any, kind: str) -> None:
    dims = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
    if len(dims) + (config.max_batch_size > 0) > 1:
        raise InvalidArgumentError(
            f"only a 1 dimensional List of String is supported as {kind} for '{tensor.name}' for model '{config.name}': write "
            "dims: [ -1 ] and no max_batch_size, or dims: [ 1 ] reshape { } with one"
        )


def output_datatypes(config: ModelConfig) -> dict[str, DataType]:
    """Give the datatypes of the outputs, and of those that become states of sequences, in the configuration's order."""
    states = {state.output_name: state.data_type for state in config.sequence_batching.state}
    numbers = {tensor.name: tensor.data_type for tensor in config.output}
    numbers |= {name: states[name] for name in state_outputs(config)}
    return {name: DataType.of_number(number) for name, number in numbers.items()}


def bind_outputs(config: ModelConfig, interface: Interface) -> Sequence[int] | None:
    """Find the result for which each output stands, in the order of `output_datatypes`; None where only a run tells.

    Where the file tells them, datatypes and shapes are checked as well, those of the inputs included.

    Raises:
        InvalidArgumentError: outputs are missing, too many, or do not fit.
    """
    names = list(output_datatypes(config))
    if not config.output:
        raise InvalidArgumentError(
            f"unable to load model '{config.name}': model configuration must contain at least one output, none were specified: "
            "write output, with data_type and dims, which the file does not tell"
        )
    for tensor in config.output:
        if tensor.data_type == DataType.BYTES.number:
            _check_string_dims(config, tensor, "output")
    if interface.results is None:
        return None
    indices = output_indices(names, [place.names for place in interface.results])
    if not all(place.names for place in interface.results):
        return None  # they may be a named tuple, whose names only a run tells
    _check_graph(config, interface, indices)
    return indices


def output_indices(names: Sequence[str], results: Sequence[Sequence[str]]) -> list[int]:
    """Find the index of the result for each output.

    Raises:
        InvalidArgumentError: there is no such result.
    """
    indices, _ = indices_of(names, results)
    for name, index in zip(names, indices, strict=True):
        if index >= len(results):
            known = ", ".join(alias for aliases in results for alias in aliases if alias)
            raise InvalidArgumentError(
                f"The output {name} in the model configuration refers to an output index which doesn't exist. This model has "
                f"{len(results)} outputs{f': {known}' if known else ''}"
            )
    return indices


def _check_graph(config: ModelConfig, interface: Interface, outputs: Sequence[int]) -> None:
    """Check datatypes and shapes, under the names that the configuration uses."""
    graph = interface.graph()
    if graph is None:
        return
    inputs = bind_inputs(config, interface)
    own = {tensor.name: tensor for tensor in graph.inputs}
    names = list(output_datatypes(config))
    check_against_graph(
        config,
        Graph(
            [_renamed(own[place.name], name) for name, place in inputs.items()],
            [_renamed(graph.outputs[index], name) for name, index in zip(names, outputs, strict=True)],
        ),
    )
    most = interface.most_batched
    if most is not None and config.max_batch_size > most:
        raise InvalidArgumentError(
            f"model '{config.name}' was exported for batches of {most} at the most, but max_batch_size is "
            f"{config.max_batch_size}: write a smaller one, or export it with a larger limit"
        )


def _renamed(tensor: GraphTensor, name: str) -> GraphTensor:
    return GraphTensor(name, tensor.datatype, tensor.shape, optional=tensor.optional)

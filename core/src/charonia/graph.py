"""What a model's file tells about its inputs and outputs, and a configuration that goes with it.

For backends whose files know their tensors: read the file into a `Graph`, and have the configuration completed from it and
checked against it, as the reference does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia.config import ModelConfig
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from charonia.backend import ModelContext

__all__ = [
    "Graph",
    "GraphTensor",
    "check_against_graph",
    "complete_from_graph",
    "is_complete",
    "made_inputs",
    "state_outputs",
]


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of a graph.

    Attributes:
        name: its name.
        datatype: its datatype.
        shape: its dimensions; those that are symbolic or unknown are -1. Empty for a scalar. None where not even the number of
            dimensions is known; where a framework does not tell that from a scalar, empty for both.
        optional: whether an input may be absent.
    """

    name: str
    datatype: DataType
    shape: tuple[int, ...] | None
    optional: bool = False


@dataclass(frozen=True)
class Graph:
    """The inputs and outputs of a graph, in its order.

    Attributes:
        inputs: what must be given, or may be where it is optional.
        outputs: what comes out.
        initializers: inputs that have a default in the graph. They may be given, but nobody needs to know them.
    """

    inputs: Sequence[GraphTensor]
    outputs: Sequence[GraphTensor]
    initializers: Sequence[GraphTensor] = ()

    @property
    def batches(self) -> bool:
        """Whether every tensor's first dimension is known to be variable, so that the model batches; the reference's rule."""
        return all(tensor.shape and tensor.shape[0] == -1 for tensor in (*self.inputs, *self.outputs))

    @property
    def may_batch(self) -> bool:
        """Whether no tensor is known to have a fixed first dimension, or none."""
        tensors = (*self.inputs, *self.outputs)
        return all(tensor.shape is None or (tensor.shape and tensor.shape[0] == -1) for tensor in tensors)


def is_complete(config: ModelConfig) -> bool:
    """Tell whether inputs and outputs are written in full; as in the reference, nothing is completed then."""
    tensors: list[Any] = [*config.input, *config.output]
    written = all(tensor.data_type and (tensor.dims or tensor.HasField("reshape")) for tensor in tensors)
    return bool(config.input and config.output) and written


def made_inputs(config: ModelConfig) -> list[str]:
    """List the inputs that the server makes, so that no client gives them.

    These are the controls and states of sequences, and what describes ragged batches, each in the configuration's order.
    """
    sequences = config.sequence_batching
    made = [control.name for control in sequences.control_input] + [state.input_name for state in sequences.state]
    return made + [name for described in config.batch_input for name in described.target_name]


def state_outputs(config: ModelConfig) -> list[str]:
    """List the outputs that become the states of sequences and that are not also told to clients."""
    told = {tensor.name for tensor in config.output}
    return [state.output_name for state in config.sequence_batching.state if state.output_name not in told]


def complete_from_graph(context: ModelContext, graph: Graph) -> ModelConfig:
    """Fill in inputs, outputs, max_batch_size and dynamic batching from the graph, as the reference does; give a copy.

    Where some tensor's dims are written and max_batch_size is not, dims of the graph's full rank say that the model shall
    not batch. Dims of tensors of unknown rank stay open.

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
    elif config.max_batch_size > 0 and not graph.may_batch:
        raise InvalidArgumentError(
            f"autofill failed for model '{context.name}': model does not support batching while non-zero max_batch_size is "
            f"specified: set max_batch_size to 0, or export the model with a variable first dimension"
        )
    batching = config.max_batch_size > 0
    _fill(config.input, graph.inputs, batching=batching, given_by_others=made_inputs(config))
    _fill(config.output, graph.outputs, batching=batching, given_by_others=state_outputs(config))
    return config


def _has_full_dims(config: ModelConfig, graph: Graph) -> bool:
    if config.max_batch_size > 0:
        return False
    by_name: Mapping[str, GraphTensor] = {tensor.name: tensor for tensor in (*graph.inputs, *graph.outputs)}
    tensors: list[Any] = [*config.input, *config.output]
    return any(
        len(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
        == len(by_name[tensor.name].shape or ())
        for tensor in tensors
        if tensor.name in by_name
    )


def _fill(written: Any, found: Sequence[GraphTensor], *, batching: bool, given_by_others: Collection[str]) -> None:
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
        if tensor.shape is not None and not entry.dims and not entry.HasField("reshape"):
            dims = tensor.shape[1:] if batching else tensor.shape
            entry.dims.extend([size or -1 for size in dims] or [1])  # a configuration has no dimension of 0
            if not dims and batching:
                entry.reshape.SetInParent()


def check_against_graph(config: ModelConfig, graph: Graph) -> None:
    """Check that a configuration's inputs and outputs are the graph's.

    Outputs may be left out, and so may inputs that have a default in the graph.

    Raises:
        InvalidArgumentError: a tensor is unknown, missing, or has another datatype or shape; the text says which, what each
            side has, and what to do.
    """
    possible = (*graph.inputs, *graph.initializers)
    _check_names("input", config.name, [tensor.name for tensor in config.input], possible)
    _check_names("input", config.name, [name for made in config.batch_input for name in made.target_name], possible)
    _check_names("output", config.name, [tensor.name for tensor in config.output], graph.outputs)
    states = config.sequence_batching.state
    _check_names("input", config.name, [state.input_name for state in states], possible)
    _check_names("output", config.name, [state.output_name for state in states], graph.outputs)
    _check_nothing_missing(config, graph)
    for kind, written, found in (("input", config.input, possible), ("output", config.output, graph.outputs)):
        by_name = {tensor.name: tensor for tensor in found}
        for tensor in written:
            _check_datatype(kind, config, tensor, by_name[tensor.name])
            _check_shape(kind, config, tensor, by_name[tensor.name])


def _check_names(kind: str, model: str, written: Sequence[str], found: Sequence[GraphTensor]) -> None:
    allowed = [tensor.name for tensor in found]
    for name in written:
        if name not in allowed:
            near = nearest(name, allowed)
            hint = f"; did you mean '{near}'?" if near else ""
            raise InvalidArgumentError(
                f"unexpected inference {kind} '{name}' in the configuration of model '{model}', allowed {kind}s are: "
                f"{', '.join(allowed)}{hint}"
            )


def _check_nothing_missing(config: ModelConfig, graph: Graph) -> None:
    given = {*(tensor.name for tensor in config.input), *made_inputs(config)}
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
    if found.shape is None or written.name in _targets_of_batch_output(config):
        return
    if kind == "input" and written.allow_ragged_batch:
        _check_ragged_shape(config, written.name, found)
        return
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


def _targets_of_batch_output(config: ModelConfig) -> set[str]:
    """List the outputs that are cut by the shapes of inputs, whatever their own shape."""
    return {name for cut in config.batch_output for name in cut.target_name}


def _check_ragged_shape(config: ModelConfig, name: str, found: GraphTensor) -> None:
    if found.shape != (-1,):
        raise InvalidArgumentError(
            f"model '{config.name}', tensor '{name}': a ragged input has one dimension of variable size, in which the "
            f"elements of all requests lie end to end; but shape expected by the model is {list(found.shape or ())}: leave out "
            "allow_ragged_batch, or export the model with the shape [-1] for this input"
        )

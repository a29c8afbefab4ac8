"""What an engine tells about its inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia.datatypes import DataType
from charonia.errors import UnsupportedError
from charonia.graph import Graph, GraphTensor

from charonia_backend_tensorrt.layout import LINEAR, Layout, layout_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EngineTensor", "Span", "graph_of", "read_tensors"]

_DATATYPES = {
    "BOOL": DataType.BOOL,
    "UINT8": DataType.UINT8,
    "INT8": DataType.INT8,
    "INT32": DataType.INT32,
    "INT64": DataType.INT64,
    "HALF": DataType.FP16,
    "BF16": DataType.BF16,
    "FLOAT": DataType.FP32,
}


@dataclass(frozen=True)
class Span:
    """The shapes that a profile allows for an input, dimension by dimension, and the one that it is made for."""

    least: tuple[int, ...]
    best: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine.

    Attributes:
        name: its name.
        is_input: whether it is an input.
        datatype: its datatype.
        shape: its dimensions; those that vary are -1.
        on_host: whether the engine reads or writes it in the machine's memory, as it does with shape tensors.
        layout: the order of its elements.
        spans: of an input, what each of the engine's profiles allows. A shape tensor is bound by its values, and has none.
    """

    name: str
    is_input: bool
    datatype: DataType
    shape: tuple[int, ...]
    on_host: bool = False
    layout: Layout = LINEAR
    spans: tuple[Span, ...] = ()


def read_tensors(module: Any, engine: Any) -> list[EngineTensor]:
    """Read the inputs and outputs of an engine, in its order.

    Args:
        module: the library's Python module.
        engine: its `ICudaEngine`.

    Raises:
        UnsupportedError: one has a datatype that the protocol does not have, or a format that is not for GPUs.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [_read(module, engine, name) for name in names]


def _read(module: Any, engine: Any, name: str) -> EngineTensor:
    is_input = engine.get_tensor_mode(name) == module.TensorIOMode.INPUT
    on_host = engine.get_tensor_location(name) == module.TensorLocation.HOST
    dtype = engine.get_tensor_dtype(name).name
    if dtype not in _DATATYPES:
        raise UnsupportedError(
            f"{'input' if is_input else 'output'} '{name}' of the engine has type {dtype}, which the protocol cannot carry: cast "
            "it inside the model"
        )
    profiles = range(engine.num_optimization_profiles) if is_input and not on_host else ()
    return EngineTensor(
        name,
        is_input,
        _DATATYPES[dtype],
        tuple(engine.get_tensor_shape(name)),
        on_host,
        layout_of(name, engine.get_tensor_format(name).name),
        tuple(Span(*(tuple(dims) for dims in engine.get_tensor_profile_shape(name, profile))) for profile in profiles),
    )


def graph_of(tensors: Sequence[EngineTensor]) -> Graph:
    """Give the inputs and outputs as the core's completion and checks want them."""
    inputs, outputs = (
        [GraphTensor(each.name, each.datatype, each.shape) for each in tensors if each.is_input is wanted]
        for wanted in (True, False)
    )
    return Graph(inputs, outputs)

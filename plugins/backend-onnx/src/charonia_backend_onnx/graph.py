"""What an ONNX graph tells about its inputs and outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia.datatypes import DataType
from charonia.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Graph", "GraphTensor", "read_graph"]

_DATATYPES = {
    "tensor(bool)": DataType.BOOL,
    "tensor(uint8)": DataType.UINT8,
    "tensor(uint16)": DataType.UINT16,
    "tensor(uint32)": DataType.UINT32,
    "tensor(uint64)": DataType.UINT64,
    "tensor(int8)": DataType.INT8,
    "tensor(int16)": DataType.INT16,
    "tensor(int32)": DataType.INT32,
    "tensor(int64)": DataType.INT64,
    "tensor(float16)": DataType.FP16,
    "tensor(bfloat16)": DataType.BF16,
    "tensor(float)": DataType.FP32,
    "tensor(double)": DataType.FP64,
    "tensor(string)": DataType.BYTES,
}
_OPTIONAL = re.compile(r"optional\((.*)\)")


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of a graph.

    Attributes:
        name: its name.
        datatype: its datatype.
        shape: its dimensions; those that are symbolic or unknown are -1. Empty for a scalar, and for a tensor about whose
            shape the graph says nothing at all: ONNX Runtime does not tell the two apart.
        optional: whether an input may be absent.
    """

    name: str
    datatype: DataType
    shape: tuple[int, ...]
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
        """Whether every tensor's first dimension is variable, so that the model can batch; the reference's rule."""
        return all(tensor.shape and tensor.shape[0] == -1 for tensor in (*self.inputs, *self.outputs))


def read_graph(session: Any) -> Graph:
    """Read the graph of an open session.

    Raises:
        UnsupportedError: an input or output is no tensor, or of a datatype that the protocol does not have.
    """
    return Graph(
        [_tensor("input", node) for node in session.get_inputs()],
        [_tensor("output", node) for node in session.get_outputs()],
        [_tensor("initializer", node) for node in session.get_overridable_initializers() if node.type in _DATATYPES],
    )


def _tensor(kind: str, node: Any) -> GraphTensor:
    optional = _OPTIONAL.fullmatch(node.type) if kind == "input" else None
    datatype = _DATATYPES.get(optional[1] if optional else node.type)
    if datatype is None:
        raise UnsupportedError(
            f"{kind} '{node.name}' of the graph has type {node.type}, which the protocol cannot carry: export the model with "
            "plain tensors (for classifiers of sklearn-onnx: options={'zipmap': False})"
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape or ())
    return GraphTensor(node.name, datatype, shape, optional=optional is not None)

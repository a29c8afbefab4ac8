"""What an ONNX graph tells about its inputs and outputs, and what of it can pass through ONNX Runtime."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from charonia.datatypes import DataType
from charonia.errors import UnsupportedError
from charonia.graph import Graph, GraphTensor

if TYPE_CHECKING:
    from charonia.config import ModelConfig

__all__ = ["check_passable", "read_graph"]

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


def read_graph(session: Any) -> Graph:
    """Read the graph of an open session. ONNX Runtime does not tell scalars from tensors about whose shape the graph is silent.

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


def check_passable(config: ModelConfig) -> None:
    """Check that a way through ONNX Runtime's Python interface leads to a configuration's tensors.

    It takes text only as numpy arrays, and gives bfloat16 only as values of its own, in one call either or.

    Raises:
        UnsupportedError: the model has both.
    """
    text = next((tensor.name for tensor in config.input if tensor.data_type == DataType.BYTES.number), None)
    brain = next((tensor.name for tensor in config.output if tensor.data_type == DataType.BF16.number), None)
    if text is not None and brain is not None:
        raise UnsupportedError(
            f"model '{config.name}' has the BYTES input '{text}' and the BF16 output '{brain}', which ONNX Runtime's Python "
            "interface cannot have in one call: cast the output to FP32 in the graph"
        )

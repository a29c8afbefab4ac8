"""Where the inputs and outputs of a model are in TensorFlow's graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia.datatypes import DataType
from charonia.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.graph import Graph

__all__ = ["Endpoints", "datatype_of"]

_DATATYPES = {
    "bool": DataType.BOOL,
    "uint8": DataType.UINT8,
    "uint16": DataType.UINT16,
    "uint32": DataType.UINT32,
    "uint64": DataType.UINT64,
    "int8": DataType.INT8,
    "int16": DataType.INT16,
    "int32": DataType.INT32,
    "int64": DataType.INT64,
    "float16": DataType.FP16,
    "bfloat16": DataType.BF16,
    "float32": DataType.FP32,
    "float64": DataType.FP64,
    "string": DataType.BYTES,
}


@dataclass(frozen=True)
class Endpoints:
    """The inputs and outputs of a model.

    Attributes:
        graph: what the model's file tells about them, by the names that clients use.
        inputs: a client's name → the tensor's name in TensorFlow's graph, such as `serving_default_x:0`.
        outputs: likewise. An input and an output may have the same name to clients.
    """

    graph: Graph
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def datatype_of(kind: str, name: str, dtype: Any) -> DataType:
    """Tell what a `tf.DType` is to the protocol.

    Raises:
        UnsupportedError: the protocol does not have it; `kind` and `name` say whose it is.
    """
    datatype = _DATATYPES.get(dtype.base_dtype.name)
    if datatype is None:
        raise UnsupportedError(
            f"{kind} '{name}' of the model has type {dtype.name}, which the protocol cannot carry: cast it inside the model"
        )
    return datatype

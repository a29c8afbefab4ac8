"""JSON Schemas of a model's tensors, and examples of them, from the model's signature."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.datatypes import DataType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charonia.signature import Signature, TensorSpec

__all__ = [
    "WITHOUT_JSON",
    "flat_tensor",
    "flat_tensor_example",
    "generate_example",
    "generate_value",
    "nested_tensor",
    "nested_tensor_example",
    "written_shape",
]

WITHOUT_JSON = frozenset({DataType.FP16, DataType.BF16})
"""Datatypes that `infer` does not take or give as JSON."""

_MOST_SHOWN = 4096
"""How many elements an example may have; a document with whole images of zeros helps nobody."""


def written_shape(spec: TensorSpec) -> str:
    """Write what a tensor is: `FP32 [-1, 4]`, where -1 is any size."""
    return f"{spec.datatype.name} {list(spec.shape)}"


def nested_tensor(spec: TensorSpec, signature: Signature) -> dict[str, Any]:
    """Describe the tensor as nested arrays."""
    schema = _element(spec.datatype)
    for least, most in reversed(_extents(spec, signature)):
        schema = {"type": "array", "items": schema, "minItems": least}
        if most is not None:
            schema["maxItems"] = most
    return {**schema, "description": written_shape(spec)}


def flat_tensor(spec: TensorSpec, signature: Signature) -> dict[str, Any]:
    """Describe the tensor as the protocol writes it: name, datatype, shape, and all elements in one array."""
    sizes = [{"const": least} if least == most else _size(least, most) for least, most in _extents(spec, signature)]
    shape: dict[str, Any] = {"type": "array", "minItems": len(sizes), "maxItems": len(sizes)}
    if sizes:
        shape["prefixItems"] = sizes
    properties = {
        "name": {"const": spec.name},
        "datatype": {"const": spec.datatype.name},
        "shape": shape,
        "parameters": {"type": "object"},
    }
    if spec.datatype not in WITHOUT_JSON:
        nested = {"type": "array", "description": "nested arrays count in row-major order"}
        properties["data"] = {"type": "array", "items": {"anyOf": [_element(spec.datatype), nested]}}
    return {
        "type": "object",
        "title": spec.name,
        "description": written_shape(spec),
        "required": ["name", "datatype", "shape"],
        "properties": properties,
    }


def nested_tensor_example(specs: Iterable[TensorSpec]) -> dict[str, Any] | None:
    """Make values for tensors, by name; None where they would be too large to look at."""
    chosen = list(specs)
    if not _is_small(chosen):
        return None
    return {spec.name: np.full(_sizes(spec), _value(spec.datatype), np.object_).tolist() for spec in chosen}


def generate_value(spec: TensorSpec) -> dict[str, Any]:
    """Describe the tensor as `generate` has it: a bare value, or its elements in row-major order."""
    element = _element(spec.datatype)
    return {"anyOf": [element, {"type": "array", "items": element}], "description": written_shape(spec)}


def generate_example(specs: Iterable[TensorSpec]) -> dict[str, Any] | None:
    """Make values for `generate`; None where they would be too large, or have no form there."""
    tensors = flat_tensor_example(specs)
    if tensors is None:
        return None
    return {tensor["name"]: tensor["data"] if len(tensor["data"]) != 1 else tensor["data"][0] for tensor in tensors}


def flat_tensor_example(specs: Iterable[TensorSpec]) -> list[dict[str, Any]] | None:
    """Make tensors as the protocol writes them; None where they would be too large, or have no form in JSON."""
    chosen = list(specs)
    if not _is_small(chosen) or any(spec.datatype in WITHOUT_JSON for spec in chosen):
        return None
    return [
        {
            "name": spec.name,
            "shape": _sizes(spec),
            "datatype": spec.datatype.name,
            "data": [_value(spec.datatype)] * math.prod(_sizes(spec)),
        }
        for spec in chosen
    ]


def _extents(spec: TensorSpec, signature: Signature) -> list[tuple[int, int | None]]:
    """Give the least and the greatest size of each dimension; None is any."""
    extents: list[tuple[int, int | None]] = [(0, None) if size == -1 else (size, size) for size in spec.shape]
    if signature.max_batch_size > 0:
        extents[0] = (1, signature.max_batch_size)
    return extents


def _size(least: int, most: int | None) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": least}
    return schema if most is None else {**schema, "maximum": most}


def _element(datatype: DataType) -> dict[str, Any]:
    kind = datatype.dtype.kind
    if datatype is DataType.BYTES:
        return {"type": "string"}
    if kind == "b":
        return {"type": "boolean"}
    if kind in "iu":
        limits = np.iinfo(datatype.dtype)
        return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}
    return {"type": "number"}


def _value(datatype: DataType) -> object:
    kind = datatype.dtype.kind
    if datatype is DataType.BYTES:
        return "text"
    if kind == "b":
        return False
    return 0 if kind in "iu" else 0.0


def _sizes(spec: TensorSpec) -> list[int]:
    return [1 if size == -1 else size for size in spec.shape]


def _is_small(specs: list[TensorSpec]) -> bool:
    return sum(math.prod(_sizes(spec)) for spec in specs) <= _MOST_SHOWN

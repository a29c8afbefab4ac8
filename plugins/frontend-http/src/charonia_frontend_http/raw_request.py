"""A raw request: no JSON at all, the whole body is the data of the model's one input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from charonia.binary_tensor import tensor_from_bytes
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from charonia.model import Model
    from charonia.signature import TensorSpec
    from charonia.tensor import Array, MalformedTensor

__all__ = ["read_raw"]

_PREFIX = "[request id: <id_unknown>] "


def read_raw(model: Model, body: bytes | memoryview, max_input_size: int) -> dict[str, Array | MalformedTensor]:
    """Make the model's one input from a whole body; its shape is inferred, with a batch of 1 where the model batches.

    Raises:
        InvalidArgumentError: the model has several inputs, or the shape cannot be inferred, or the body is too large.
    """
    inputs = model.signature.inputs
    if len(inputs) != 1:
        raise InvalidArgumentError(
            f"{_PREFIX}Raw request must only have 1 input (found 1) to be deduced but got {len(inputs)} inputs in "
            f"'{model.name}' model configuration"
        )
    if len(body) > max_input_size:
        raise InvalidArgumentError(
            f"Raw input has a byte_size ({len(body)} bytes) that exceeds the maximum allowed value of {max_input_size} "
            "bytes. Use --http-max-input-size to increase the limit."
        )
    (spec,) = inputs.values()
    lead = (1,) if model.signature.max_batch_size > 0 else ()
    if spec.datatype is DataType.BYTES:
        return {spec.name: _one_string(spec, lead, body)}
    shape = (*lead, *_inferred(spec, len(body)))
    # as in the reference, an error about the data calls the input by this name
    return {spec.name: tensor_from_bytes("raw_input", spec.datatype, shape, memoryview(body), ("", model.name))}


def _one_string(spec: TensorSpec, lead: tuple[int, ...], body: bytes | memoryview) -> Array:
    if spec.dims not in {(1,), (-1,)}:
        raise InvalidArgumentError(
            f"{_PREFIX}For BYTE datatype raw input '{spec.name}', the model must have input shape [1]"
        )
    tensor = np.empty((*lead, 1), dtype=np.object_)
    tensor[...] = bytes(body)
    return tensor


def _inferred(spec: TensorSpec, size: int) -> tuple[int, ...]:
    variable = spec.dims.count(-1)
    if variable > 1:
        raise InvalidArgumentError(
            f"{_PREFIX}The shape of the raw input '{spec.name}' can not be deduced because there are more than one "
            "variable-sized dimension"
        )
    if variable == 0:
        return spec.dims
    fixed = spec.datatype.size
    for extent in spec.dims:
        fixed *= extent if extent != -1 else 1
    return tuple(size // fixed if extent == -1 else extent for extent in spec.dims)

"""Whether a model still holds the memory of an output that it has given away.

The reference copies every output into shared memory. Here outputs are passed on as they are, which saves that copy, and is right
for arrays that a model makes for one answer. But a model may keep an array and write the next answer into it while this one is on
its way. So an array that anything else refers to is copied. Python counts the references; what the count is where nobody else
holds an array is measured once, below, the same way.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import triton_python_backend_utils as pb_utils
from charonia.received_strings import wire_form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charonia.tensor import Array, Tensor

__all__ = ["given_away"]


def given_away(tensor: pb_utils.Tensor, inputs: Iterable[Tensor]) -> Tensor:
    """Give the tensor's data, as a copy where the model, or anything else, may still write into it.

    Args:
        tensor: an output.
        inputs: the request's own tensors, to which nobody writes; one that is passed through is not copied, and neither are
            the strings of one in another shape.
    """
    data = tensor.data
    if not isinstance(data, np.ndarray):
        return data
    array_references, base_references = _references(data)
    if array_references <= _ALONE[0] and base_references <= _ALONE[1]:
        return data
    for given in inputs:
        if given is data:
            return data
    return data if wire_form(data) is not None else data.copy()


def _references(data: Array) -> tuple[int, int]:
    """Count the references to an array, and to what it is a view of."""
    base = data.base
    return sys.getrefcount(data), 0 if base is None else sys.getrefcount(base)


def _references_of_a_lone_tensor() -> tuple[int, int]:
    """Count them where only a tensor, and whoever looks at it, holds the array, and only the array what it is a view of."""
    tensor = pb_utils.Tensor("lone", np.zeros((2, 2), np.float32)[1:])
    data = tensor.data
    return _references(data)  # type: ignore[arg-type]  # made of an array


_ALONE = _references_of_a_lone_tensor()

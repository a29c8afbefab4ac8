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

    from charonia.tensor import Tensor

__all__ = ["given_away"]


def given_away(tensor: pb_utils.Tensor, inputs: Iterable[Tensor]) -> Tensor:
    """Give the tensor's data, as a copy where the model, or anything else, may still write into it.

    Args:
        tensor: an output.
        inputs: the request's own tensors, to which nobody writes; one that is passed through is not copied, and neither are
            the strings of one in another shape.
    """
    if not isinstance(tensor.data, np.ndarray):
        return tensor.data
    array_references, base_references = _references(tensor)
    if array_references <= _ALONE[0] and base_references <= _ALONE[1]:
        return tensor.data
    data = tensor.data
    passed = any(data is given for given in inputs) or wire_form(data) is not None
    return data if passed else data.copy()


def _references(tensor: pb_utils.Tensor) -> tuple[int, int]:
    """Count the references to a tensor's array, and to what the array is a view of."""
    base = tensor.data.base  # type: ignore[union-attr]  # only called for arrays
    return sys.getrefcount(tensor.data), 0 if base is None else sys.getrefcount(base)


_ALONE = _references(pb_utils.Tensor("lone", np.zeros((2, 2), np.float32)[1:]))
"""The counts where only the tensor holds its array, and only the array what it is a view of."""

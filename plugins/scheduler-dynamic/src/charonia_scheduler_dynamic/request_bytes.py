"""How much memory the inputs of a request take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from charonia.request import InferenceRequest

__all__ = ["request_bytes"]


def request_bytes(request: InferenceRequest) -> int:
    """Count the bytes of a request's inputs; of BYTES, those of the elements; of another library's tensors, what it says."""
    total = 0
    for tensor in request.inputs.values():
        if isinstance(tensor, np.ndarray) and tensor.dtype.hasobject:
            total += sum([len(element) for element in tensor.flat])
        else:
            total += getattr(tensor, "nbytes", 0)
    return total

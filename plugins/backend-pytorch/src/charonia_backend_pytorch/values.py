"""Tensors between numpy and PyTorch. Memory is shared where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.tensor import as_numpy

from charonia_backend_pytorch.runtime import torch

if TYPE_CHECKING:
    from charonia.tensor import Array, Tensor

__all__ = ["as_bytes", "as_number", "as_text", "as_torch", "datatype_of", "from_torch"]

_BF16 = DataType.BF16.dtype
_DATATYPES = {f"torch.{datatype.dtype}": datatype for datatype in DataType if datatype is not DataType.BYTES}


def datatype_of(dtype: Any) -> DataType | None:
    """Give the protocol's datatype of PyTorch's `dtype`, or None where it has none (complex, quantised, …)."""
    return _DATATYPES.get(str(dtype))


def as_torch(tensor: Tensor, device: Any, *, own: bool) -> Any:
    """Make a tensor of PyTorch on a device. It shares the memory, unless that is on another device.

    Args:
        tensor: of any datatype but BYTES, in the memory of the CPU or of a device.
        device: PyTorch's.
        own: whether the tensor shall have memory of its own, since somebody may write to it.
    """
    shared = _shared(tensor)
    moved = shared.to(device)
    return moved.clone() if own and moved.data_ptr() == shared.data_ptr() else moved


def _shared(tensor: Tensor) -> Any:
    if not isinstance(tensor, np.ndarray):
        return torch().from_dlpack(tensor)
    dense = tensor if tensor.flags.c_contiguous else tensor.copy(order="C")
    if dense.dtype == _BF16:  # numpy's way into PyTorch has no bfloat16
        return _shared(dense.view(np.int16)).view(torch().bfloat16)
    if dense.flags.writeable:
        return torch().from_numpy(dense)
    try:
        return torch().from_dlpack(dense)  # `from_numpy` warns of memory that cannot be written to
    except BufferError:  # a numpy before 2.1 exports none of it
        return torch().from_numpy(dense.copy())


def from_torch(tensor: Any, *, own: bool) -> Tensor:
    """Make a tensor of the protocol, which has no scalars: they become one element.

    Args:
        tensor: PyTorch's. On the CPU it becomes an array; on a device it stays there, save for bfloat16, for which DLPack has no
            way into numpy later on.
        own: whether the result shall have memory of its own, since the tensor's may be written to.
    """
    plain = tensor.detach()
    if plain.layout is not torch().strided:
        plain = plain.to_dense()
    if plain.ndim == 0:
        plain = plain.reshape(1)
    brain = plain.dtype is torch().bfloat16
    if plain.device.type != "cpu" and not brain:
        return plain.clone() if own else plain  # type: ignore[no-any-return]  # the module is not known to the type checker
    host = plain.cpu().resolve_conj().resolve_neg()
    array: Array = host.contiguous().view(torch().int16).numpy().view(_BF16) if brain else host.numpy()
    return array.copy() if own else array


def as_text(name: str, tensor: Tensor) -> list[str]:
    """Make a list of `str` from a BYTES tensor of one dimension: PyTorch's strings are text.

    Raises:
        InvalidArgumentError: an element of the input `name` is not UTF-8.
    """
    try:
        return [item.decode() for item in as_numpy(tensor).ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"input '{name}' has an element that is no UTF-8 ({error.reason} at byte {error.start}): PyTorch takes text only"
        ) from None


def as_bytes(items: list[str]) -> Array:
    """Make a BYTES tensor from a list of `str`."""
    array = np.empty(len(items), dtype=np.object_)
    array[:] = [item.encode() for item in items]
    return array


def as_number(tensor: Tensor) -> bool | int | float:
    """Give the one element of a tensor as a number of Python."""
    number: bool | int | float = as_numpy(tensor).item()
    return number

"""A tensor with its name, as models get and give it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.datatypes import DataType
from charonia.tensor import Array, SupportsDLPack, as_numpy, as_tensor

from triton_python_backend_utils.dlpack import (
    CPU_DEVICES,
    array_from_capsule,
    capsule_device,
    capsule_of,
    is_capsule,
)
from triton_python_backend_utils.errors import TritonModelException

if TYPE_CHECKING:
    from charonia.tensor import Tensor as Data

__all__ = ["Tensor"]


class Tensor:
    """A named array of one of the protocol's datatypes; string tensors are of dtype object and hold `bytes`.

    An input shares the memory of its request, unless somebody else reads that, too. Where the model's max_batch_size is 1 or
    more, the first dimension is the batch.

    Args:
        name: the input's or output's name.
        data: a numpy array; text arrays (dtype `S` or `U`) become string tensors.

    Raises:
        TritonModelException: the name is empty, or the array is of a dtype that no datatype has.
        TypeError: `data` is no numpy array.
    """

    __slots__ = ("_data", "_name")

    def __init__(self, name: str, data: Array) -> None:
        if not isinstance(data, np.ndarray):
            raise TypeError(f"the tensor '{name}' is made from a numpy array, not from {type(data).__name__}")
        self._name = _checked(name)
        self._data: Data = _of_known_dtype(data)

    @classmethod
    def around(cls, name: str, data: Data) -> Tensor:
        """Name what is known to be a tensor already, unchecked. Charonia's own; the reference has no such method."""
        made = cls.__new__(cls)
        made._name = name  # noqa: SLF001 - the class's own
        made._data = data  # noqa: SLF001 - the class's own
        return made

    @property
    def data(self) -> Data:
        """The numpy array, or the object that was given to `from_dlpack`. Charonia's own, as `around`."""
        return self._data

    def name(self) -> str:
        """Tell the name."""
        return self._name

    def as_numpy(self) -> Array:
        """Give the numpy array; uncopied.

        Raises:
            TritonModelException: the tensor is in the memory of a GPU.
        """
        if isinstance(self._data, np.ndarray):
            return self._data
        if not self.is_cpu():
            raise TritonModelException("Tensor is stored in GPU and cannot be converted to NumPy.")
        return as_numpy(self._data)

    def shape(self) -> list[int]:
        """List the dimensions."""
        return list(self._data.shape)

    def triton_dtype(self) -> int:
        """Give the datatype's number in the configuration: 11 for FP32."""
        dtype = getattr(self._data, "dtype", None)
        if not isinstance(dtype, np.dtype):
            dtype = as_numpy(self._data).dtype
        return DataType.of_dtype(dtype).number

    def is_cpu(self) -> bool:
        """Tell whether the tensor is in memory that the CPU reads."""
        return isinstance(self._data, np.ndarray) or int(self._data.__dlpack_device__()[0]) in CPU_DEVICES

    def to_dlpack(self) -> Any:
        """Export the tensor as a DLPack capsule, uncopied unless the memory is read-only.

        Raises:
            TritonModelException: it is a string tensor, for which DLPack has nothing.
        """
        return self.__dlpack__()

    def __dlpack__(self, stream: Any = None, **options: Any) -> Any:
        if not isinstance(self._data, np.ndarray):
            return self._data.__dlpack__(stream=stream, **options)
        if self._data.dtype == np.object_:
            raise TritonModelException("DLPack does not have support for string tensors.")
        return capsule_of(self._data)

    def __dlpack_device__(self) -> tuple[int, int]:
        if isinstance(self._data, np.ndarray):
            return CPU_DEVICES[0], 0
        kind, number = self._data.__dlpack_device__()
        return int(kind), int(number)

    @staticmethod
    def from_dlpack(name: str, tensor: Any) -> Tensor:
        """Name another library's tensor, uncopied.

        Args:
            name: the output's name.
            tensor: an object that speaks DLPack, on any device; or a DLPack capsule, which is consumed. One of memory on a GPU
                takes PyTorch, imported by the model, to hold it.

        Raises:
            TritonModelException: the name is empty, or `tensor` is neither.
        """
        if is_capsule(tensor):
            device = capsule_device(tensor)
            if device[0] not in CPU_DEVICES:
                return Tensor.around(_checked(name), _from_gpu_capsule(name, tensor, device))
            return Tensor(name, _from_capsule(name, tensor))
        if isinstance(tensor, np.ndarray):
            return Tensor(name, tensor)
        if isinstance(tensor, SupportsDLPack):
            return Tensor.around(_checked(name), tensor)
        raise TritonModelException(
            f"the tensor '{name}' is made from a DLPack capsule that nobody has consumed, or from an object with __dlpack__ "
            f"and __dlpack_device__, not from {type(tensor).__name__}"
        )

    def __repr__(self) -> str:
        return f"Tensor(name={self._name!r}, shape={self.shape()})"


def _checked(name: str) -> str:
    if name == "":
        raise TritonModelException("Tensor name cannot be an empty string.")
    return name


def _of_known_dtype(array: Array) -> Array:
    try:
        datatype = DataType.of_dtype(array.dtype)
    except KeyError as error:
        raise TritonModelException("NumPy dtype is not supported.") from error
    if array.dtype == datatype.dtype:
        return array
    if datatype is DataType.BYTES:
        return as_tensor(array, datatype)
    return array.astype(datatype.dtype)  # another byte order


def _from_gpu_capsule(name: str, capsule: object, device: tuple[int, int]) -> Data:
    torch: Any = sys.modules.get(
        "torch"
    )  # numpy cannot hold such memory; whoever makes a capsule of it mostly has PyTorch
    if torch is None:
        raise TritonModelException(
            f"the tensor '{name}' is a DLPack capsule of device {device}: pass the object itself, which speaks DLPack, "
            "so that its memory stays where it is"
        )
    try:
        held: Data = torch.utils.dlpack.from_dlpack(capsule)
    except (AssertionError, BufferError, RuntimeError) as error:  # the first one from a build of PyTorch without CUDA
        raise TritonModelException(f"the tensor '{name}' cannot be made from its DLPack capsule: {error}") from error
    return held


def _from_capsule(name: str, capsule: object) -> Array:
    try:
        return array_from_capsule(capsule)
    except (BufferError, RuntimeError) as error:
        raise TritonModelException(f"the tensor '{name}' cannot be made from its DLPack capsule: {error}") from error

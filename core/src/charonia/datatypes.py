"""The one table of tensor datatypes: wire name, number in the model configuration, numpy dtype, size.

BYTES is the protocol's name of what the configuration calls TYPE_STRING: elements of any length, held as a numpy object
array of `bytes`. BF16 is `ml_dtypes.bfloat16`, which numpy treats as a dtype of its own.
"""

from __future__ import annotations

import enum

import ml_dtypes
import numpy as np

__all__ = ["DataType"]


class DataType(enum.Enum):
    """A tensor's datatype. `DataType["FP32"]` looks one up by its wire name.

    Attributes:
        number: its value in the enum `inference.DataType` of the model configuration.
        dtype: the numpy dtype of a tensor that has it.
        size: bytes of one element; 0 for BYTES, whose elements have no fixed size.
    """

    BOOL = (1, np.bool_)
    UINT8 = (2, np.uint8)
    UINT16 = (3, np.uint16)
    UINT32 = (4, np.uint32)
    UINT64 = (5, np.uint64)
    INT8 = (6, np.int8)
    INT16 = (7, np.int16)
    INT32 = (8, np.int32)
    INT64 = (9, np.int64)
    FP16 = (10, np.float16)
    FP32 = (11, np.float32)
    FP64 = (12, np.float64)
    BYTES = (13, np.object_)
    BF16 = (14, ml_dtypes.bfloat16)

    number: int
    dtype: np.dtype
    size: int

    def __init__(self, number: int, scalar: type) -> None:
        self.number = number
        self.dtype = np.dtype(scalar)
        self.size = 0 if scalar is np.object_ else self.dtype.itemsize

    @property
    def config_name(self) -> str:
        """The name in a model configuration: TYPE_FP32, and TYPE_STRING for BYTES."""
        return "TYPE_STRING" if self is DataType.BYTES else f"TYPE_{self.name}"

    @staticmethod
    def of_number(number: int) -> DataType:
        """Find a datatype by its number in the configuration. Raises KeyError for TYPE_INVALID and unknown numbers."""
        return _BY_NUMBER[number]

    @staticmethod
    def of_dtype(dtype: np.dtype) -> DataType:
        """Find the datatype of a numpy dtype, byte order aside. Raises KeyError where the protocol has none (complex, dates, …).

        Fixed-width text and byte strings (`U`, `S`) are BYTES, too: `charonia.tensor.as_tensor` turns them into objects.
        """
        found = _BY_DTYPE.get(dtype)
        if found is not None:
            return found
        return DataType.BYTES if dtype.kind in "US" else _BY_DTYPE[dtype.newbyteorder("=")]


_BY_NUMBER = {datatype.number: datatype for datatype in DataType}
_BY_DTYPE = {datatype.dtype: datatype for datatype in DataType}

"""The table of datatypes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from charonia.datatypes import DataType
from charonia_protos import model_config_pb2

SIZES = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "FP32": 4,
    "FP64": 8,
    "BYTES": 0,
    "BF16": 2,
}


def test_every_datatype_of_the_configuration_is_here():
    """Numbers and names are those of the protocol's enum, TYPE_INVALID aside."""
    enum = dict(model_config_pb2.DataType.items())
    assert enum.pop("TYPE_INVALID") == 0
    assert {datatype.config_name: datatype.number for datatype in DataType} == enum


@pytest.mark.parametrize("datatype", DataType)
def test_row_of_the_table(datatype):
    """A datatype is found by wire name, number and dtype, and has the size of its elements."""
    assert DataType[datatype.name] is datatype
    assert DataType.of_number(datatype.number) is datatype
    assert DataType.of_dtype(datatype.dtype) is datatype
    assert datatype.size == SIZES[datatype.name]
    assert datatype.size == (0 if datatype is DataType.BYTES else datatype.dtype.itemsize)


@pytest.mark.parametrize("number", [0, -1, 15, 99])
def test_unknown_number_is_refused(number):
    """TYPE_INVALID, and a number that the protocol does not have, is no datatype."""
    with pytest.raises(KeyError):
        DataType.of_number(number)


@pytest.mark.parametrize("name", ["STRING", "TYPE_FP32", "fp32", ""])
def test_unknown_name_is_refused(name):
    """Only the wire names are looked up."""
    with pytest.raises(KeyError):
        DataType[name]


@pytest.mark.parametrize("dtype", [">f4", "<f4", "=f4"])
def test_byte_order_does_not_count(dtype):
    """An array in another byte order has the same datatype."""
    assert DataType.of_dtype(np.dtype(dtype)) is DataType.FP32


@pytest.mark.parametrize("dtype", ["U5", "S5", "U0", "O"])
def test_text_is_bytes(dtype):
    """Texts and byte strings of a fixed width, as numpy has them, are BYTES."""
    assert DataType.of_dtype(np.dtype(dtype)) is DataType.BYTES


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "V4", [("a", "f4")], ml_dtypes.float8_e4m3])
def test_dtypes_that_the_protocol_lacks_are_refused(dtype):
    """Complex numbers, dates, records and other small floats have no datatype."""
    with pytest.raises(KeyError):
        DataType.of_dtype(np.dtype(dtype))


def test_names_of_c_integers_are_known():
    """A dtype that is another spelling of the same width is the same."""
    assert DataType.of_dtype(np.dtype(np.longlong)) is DataType.INT64
    assert DataType.of_dtype(np.dtype(np.intc)) is DataType.INT32

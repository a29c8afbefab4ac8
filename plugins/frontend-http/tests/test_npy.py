"""Arrays in `.npy` form: what numpy writes is read, and what claims too much is refused before room is made for it."""

from __future__ import annotations

import contextlib
import io

import ml_dtypes
import numpy as np
import pytest
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia_frontend_http.npy import MAGIC, read_npy, write_npy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">f4", ">i8", "S3", "U3"]


def saved(array):
    """Write an array as numpy does."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def claimed(header, data=b"", version=b"\x01\x00"):
    """Make a file with a header of one's own."""
    text = header.encode() + b"\n"
    return MAGIC + version + len(text).to_bytes(2, "little") + text + data


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0))))
def test_reads_what_numpy_writes(array):
    """Every datatype, byte order, order of dimensions and shape comes back."""
    for content in (saved(array), saved(np.asfortranarray(array))):
        np.testing.assert_array_equal(read_npy(content, DataType.FP32), array)


@pytest.mark.parametrize("datatype", [datatype for datatype in DataType if datatype is not DataType.BYTES])
def test_numbers_survive_both_ways(datatype):
    """What is written is read again, BF16 included."""
    array = np.array([[0, 1], [2, 3]]).astype(datatype.dtype)
    again = read_npy(write_npy("Y", array), datatype)
    assert again.dtype == datatype.dtype
    np.testing.assert_array_equal(again, array)
    assert array.dtype == ml_dtypes.bfloat16 or np.load(io.BytesIO(write_npy("Y", array))).dtype == array.dtype


def test_strings_become_bytes():
    """Strings of any length are written with one length, which readers undo; one that ends with NUL cannot be kept."""
    array = np.array([["a", b"\xff\x00b"]], dtype=object)
    assert np.load(io.BytesIO(write_npy("Y", array))).tolist() == [[b"a", b"\xff\x00b"]]
    with pytest.raises(InvalidArgumentError, match="output 'Y' has strings that end with NUL"):
        write_npy("Y", np.array([b"a\x00"], dtype=object))


def test_a_byte_that_is_no_bool_is_true():
    """Memory never holds a bool of a third value."""
    content = saved(np.array([False, True]))[:-2] + b"\x00\x07"
    array = read_npy(content, DataType.BOOL)
    assert array.view(np.uint8).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "this is no .npy data"),
        (b"PK\x03\x04 what np.savez writes", "this is no .npy data"),
        (MAGIC + b"\x03\x00", "format version (3, 0)"),
        (MAGIC + b"\x09\x00", "format version (9, 0)"),
        (claimed("nothing"), "this is no .npy data"),
        (claimed("[" * 5000), "this is no .npy data"),
        (claimed("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"), "but 0 bytes follow"),
        (claimed("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", b"1234"), "claims shape [-1]"),
        (claimed("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", b"12345"), "but 5 bytes follow"),
        (claimed("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 65 + ")}", b"1234"), "claims shape"),
        (claimed("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 10000000000000000000000)}"), "claims shape"),
        (claimed("{'descr': 'S0', 'fortran_order': False, 'shape': (1000000000000,)}"), "elements of no size"),
        (saved(np.array([{}], dtype=object)), "pickled Python objects"),
    ],
)
def test_refuses_what_it_cannot_read(content, text):
    """A file that is none, lies about itself or holds objects is the client's mistake, and costs nothing."""
    with pytest.raises(InvalidArgumentError) as caught:
        read_npy(content, DataType.FP32)
    assert text in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from([b"", MAGIC + b"\x01\x00", MAGIC + b"\x02\x00"]))
def test_any_bytes_are_an_array_or_refused(content, start):
    """No content raises anything else."""
    with contextlib.suppress(InvalidArgumentError):
        read_npy(start + content, DataType.FP32)

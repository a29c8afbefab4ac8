"""Tensors from what a caller has, arrays from what speaks DLPack, and the encoding of BYTES."""

from __future__ import annotations

import struct
import sys

import ml_dtypes
import numpy as np
import pytest
from charonia.datatypes import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.tensor import MalformedTensor, SupportsDLPack, as_numpy, as_tensor, decode_bytes, encode_bytes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

# -- BYTES


def objects(items, shape=None):
    array = np.empty(len(items), np.object_)
    array[:] = items
    return array if shape is None else array.reshape(shape)


@given(st.lists(st.binary()))
def test_bytes_round_trip(items):
    """What is encoded is decoded to the same elements, empty ones and ones with NULs included."""
    assert decode_bytes(encode_bytes(objects(items))).tolist() == items


@given(st.integers(0, 9).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size))))
def test_elements_of_one_length_round_trip(items):
    """They are decoded in another way, which keeps NULs at their ends, too."""
    assert decode_bytes(encode_bytes(objects(items))).tolist() == items


@given(st.binary(max_size=64))
def test_decoding_arbitrary_bytes_gives_elements_or_an_error(buffer):
    """Any buffer is either the encoding of what comes out, or refused with the place's facts."""
    try:
        items = decode_bytes(buffer)
    except ValueError as error:
        kind, wanted, available = error.args
        assert kind in {"length", "element"}
        assert wanted > available >= 0
    else:
        assert encode_bytes(objects(items)) == buffer


@given(st.lists(st.binary(max_size=5), min_size=1), st.data())
def test_cut_buffer_is_refused_unless_it_is_cut_between_elements(items, data):
    """A buffer that ends inside an element is never read as a shorter tensor."""
    buffer = encode_bytes(objects(items))
    cut = data.draw(st.integers(0, len(buffer)))
    borders = {len(encode_bytes(objects(items[:count]))) for count in range(len(items) + 1)}
    if cut in borders:
        assert decode_bytes(buffer[:cut]).tolist() == items[: len(decode_bytes(buffer[:cut]))]
    else:
        with pytest.raises(ValueError, match=r"length|element"):
            decode_bytes(buffer[:cut])


@pytest.mark.parametrize(
    ("buffer", "facts"),
    [
        (b"\x01", ("length", 4, 1)),
        (b"\x01\x00\x00\x00", ("element", 1, 0)),
        (b"\x00\x00\x00\x00\x05\x00\x00\x00ab", ("element", 5, 2)),
        (b"\xff\xff\xff\xff", ("element", 2**32 - 1, 0)),
    ],
)
def test_cut_buffer_tells_what_is_missing(buffer, facts):
    """The error has the kind of the cut, the bytes wanted and the bytes that are left."""
    with pytest.raises(ValueError, match=facts[0]) as caught:
        decode_bytes(buffer)
    assert caught.value.args == facts


def test_encoding_is_length_and_bytes_in_row_major_order():
    """The wire has a little-endian uint32 before each element; a tensor's rows follow each other."""
    array = objects([b"a", b"bc", b"", b"d"], (2, 2))
    wire = b"".join(struct.pack("<I", len(item)) + item for item in (b"a", b"bc", b"", b"d"))
    assert encode_bytes(array) == wire
    assert encode_bytes(np.asfortranarray(array)) == wire


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_decoded(kind):
    """Bytes may come as any of Python's buffers."""
    assert decode_bytes(kind(b"\x01\x00\x00\x00a")).tolist() == [b"a"]


def test_text_is_encoded_as_utf_8():
    """Backends may give text, as objects or as numpy's own strings."""
    wire = encode_bytes(objects(["ä".encode(), b"b"]))
    assert encode_bytes(objects(["ä", "b"])) == encode_bytes(np.array(["ä", "b"])) == wire
    assert encode_bytes(objects([np.bytes_(b"b"), bytearray(b"c"), memoryview(b"d")])) == encode_bytes(
        objects([b"b", b"c", b"d"])
    )


@pytest.mark.parametrize("item", [5, None, 1.5, ["a"], "\ud800"])
def test_what_is_no_text_is_never_encoded(item):
    """A number in a BYTES tensor is the model's mistake, not five NULs."""
    with pytest.raises(InternalError, match="BYTES tensor holds"):
        encode_bytes(objects([b"a", item]))


def test_codec_is_linear():
    """Ten times the strings are ten times the calls, both ways."""
    calls = {count: (count_calls(encode_bytes, count), count_calls(decode_bytes, count)) for count in (1_000, 10_000)}
    for small, large in zip(calls[1_000], calls[10_000], strict=True):
        assert large <= 11 * small


def count_calls(function, count):
    """Count the calls of Python and C functions while one buffer, or array, of so many strings is worked on."""
    items = [b"string %d" % number for number in range(count)]
    argument = objects(items) if function is encode_bytes else encode_bytes(objects(items))
    calls = 0

    def note(frame, event, arg):
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        result = function(argument)
    finally:
        sys.setprofile(before)
    assert (decode_bytes(result) if function is encode_bytes else result).tolist() == items
    return calls


# -- what a caller has at hand


@pytest.mark.parametrize("datatype", [datatype for datatype in DataType if datatype is not DataType.BYTES])
def test_array_of_the_datatype_is_given_back(datatype):
    """Nothing is copied where nothing must be."""
    array = np.zeros((2, 3), datatype.dtype)
    assert as_tensor(array, datatype) is array


def test_bytes_array_is_given_back():
    """An object array of bytes is one already."""
    array = objects([b"a", b"b"])
    assert as_tensor(array, DataType.BYTES) is array


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        ([1, 2], "FP32", np.array([1, 2], np.float32)),
        ([1.5, 2], "FP16", np.array([1.5, 2], np.float16)),
        ([1.5, 2], "BF16", np.array([1.5, 2], ml_dtypes.bfloat16)),
        (np.array([1, 2], ml_dtypes.bfloat16), "FP32", np.array([1, 2], np.float32)),
        (np.array([1.5]), "FP32", np.array([1.5], np.float32)),
        (np.array([7], np.int64), "INT8", np.array([7], np.int8)),
        ([2**64 - 1], "UINT64", np.array([2**64 - 1], np.uint64)),
        (3, "INT32", np.array(3, np.int32)),
        ([[True], [False]], "BOOL", np.array([[True], [False]])),
        (np.array([1, 2], ">i4"), "INT32", np.array([1, 2], np.int32)),
        ([float("inf"), float("-inf")], "FP32", np.array([np.inf, -np.inf], np.float32)),
        ([], "INT32", np.array([], np.int32)),
        ([], "BOOL", np.array([], np.bool_)),
        ([[], []], "FP64", np.empty((2, 0))),
        ((1, 2), "UINT8", np.array([1, 2], np.uint8)),
        (range(3), "INT16", np.arange(3, dtype=np.int16)),
    ],
)
def test_numbers_are_converted_where_nothing_is_lost(value, datatype, expected):
    """Lists, scalars and arrays of a kindred dtype become a tensor."""
    tensor = as_tensor(value, DataType[datatype])
    assert tensor.dtype == expected.dtype
    assert tensor.shape == expected.shape
    assert np.array_equal(tensor, expected)


@pytest.mark.parametrize(
    ("value", "datatype", "reason"),
    [
        ([1.0], "INT32", "values of float64 would be changed"),
        (np.array([1.0]), "INT64", "values of float64"),
        ([300], "UINT8", "beyond the range of UINT8"),
        ([-1], "UINT64", "beyond the range of UINT64"),
        (np.array([2**63], np.uint64), "INT64", "beyond the range of INT64"),
        ([2**64], "UINT64", "values of object"),
        ([1e40], "FP32", "beyond the range of FP32"),
        ([70000], "FP16", "beyond the range of FP16"),
        ([1], "BOOL", "values of int64"),
        ([True], "INT32", "values of bool"),
        ([True], "FP32", "values of bool"),
        (["1"], "FP32", "text is no FP32"),
        ([b"1"], "INT32", "text is no INT32"),
        ([1j], "FP64", "values of complex128"),
        ([None], "FP32", "values of object"),
        (None, "FP32", "values of object"),
        ({"a": 1}, "FP32", "values of object"),
        ([[1], [2, 3]], "FP32", "inhomogeneous"),
        (np.array(["2020-01-01"], "datetime64[D]"), "INT64", "values of datetime64"),
    ],
)
def test_numbers_are_refused_where_something_would_be_lost(value, datatype, reason):
    """A change of kind or a value out of range is the caller's mistake, told with datatype and value."""
    with pytest.raises(InvalidArgumentError) as caught:
        as_tensor(value, DataType[datatype])
    assert str(caught.value).startswith(f"cannot make a {datatype} tensor from ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ä", objects(["ä".encode()], ())),
        (b"\x00a\x00", objects([b"\x00a\x00"], ())),
        (["a\x00", "b"], objects([b"a\x00", b"b"])),
        ([b"a\x00", b"\xff"], objects([b"a\x00", b"\xff"])),
        (["ä", b"\xff"], objects(["ä".encode(), b"\xff"])),
        ([["a"], ["b"]], objects([b"a", b"b"], (2, 1))),
        ([], objects([])),
        (np.array(["a", "bc"]), objects([b"a", b"bc"])),
        (np.array([b"a", b"bc"]), objects([b"a", b"bc"])),
        (
            objects([bytearray(b"a"), memoryview(b"b"), np.str_("c"), np.bytes_(b"d")]),
            objects([b"a", b"b", b"c", b"d"]),
        ),
        (np.array([["a", "b"]], np.object_), objects([b"a", b"b"], (1, 2))),
    ],
)
def test_text_becomes_bytes(value, expected):
    """Text is encoded as UTF-8, bytes stay as they are, trailing NULs included, in whatever they come."""
    tensor = as_tensor(value, DataType.BYTES)
    assert tensor.dtype == np.object_
    assert tensor.shape == expected.shape
    assert tensor.tolist() == expected.tolist()
    assert all(type(item) is bytes for item in tensor.ravel())


@pytest.mark.parametrize("value", [[1], [1.5, "a"], None, [None], [["a"], ["b", "c"]], np.zeros(2), 5, ["\ud800"]])
def test_what_is_no_text_is_refused(value):
    """Numbers, nothing, ragged lists and broken Unicode do not become BYTES."""
    with pytest.raises(InvalidArgumentError, match=r"^cannot make a BYTES"):
        as_tensor(value, DataType.BYTES)


def test_long_values_are_shortened_in_the_message():
    """The error stays a sentence, however large the value is."""
    with pytest.raises(InvalidArgumentError) as caught:
        as_tensor(list(range(10_000)), DataType.UINT8)
    assert len(str(caught.value)) < 200


@given(
    npst.arrays(np.int64, npst.array_shapes(max_dims=3)),
    st.sampled_from(["INT8", "UINT16", "INT32", "UINT64", "INT64"]),
)
def test_integers_keep_their_values_or_are_refused(array, name):
    """No integer is ever wrapped."""
    try:
        tensor = as_tensor(array, DataType[name])
    except InvalidArgumentError:
        bounds = np.iinfo(DataType[name].dtype)
        assert any(not bounds.min <= item <= bounds.max for item in array.ravel().tolist())
    else:
        assert tensor.tolist() == array.tolist()


# -- DLPack


class Exported:
    """A tensor of another library, in CPU memory."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnDevice(Exported):
    """A tensor on a GPU: its memory cannot be exported to numpy, but `cpu` copies it."""

    def __dlpack__(self, **options):
        raise BufferError("on a GPU")

    def __dlpack_device__(self):
        return (2, 0)

    def cpu(self):
        return Exported(self.array)


class OutOfReach(OnDevice):
    cpu = None


class WithGradient(OnDevice):
    def cpu(self):
        return self


def test_numpy_array_is_given_back():
    """An array is one."""
    array = np.arange(3)
    assert as_numpy(array) is array


def test_cpu_memory_is_shared():
    """What speaks DLPack on the CPU is seen, not copied."""
    array = np.arange(3, dtype=np.float32)
    seen = as_numpy(Exported(array))
    assert np.shares_memory(seen, array)
    assert isinstance(Exported(array), SupportsDLPack)


def test_device_memory_is_copied():
    """What lies on a device comes by way of its own `cpu`."""
    assert as_numpy(OnDevice(np.arange(3))).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", [OutOfReach, WithGradient])
def test_memory_out_of_reach_is_explained(kind):
    """Where there is no way, type, device and cause are told."""
    with pytest.raises(
        InvalidArgumentError, match=rf"a {kind.__name__} on device \(2, 0\) cannot be read .*: on a GPU"
    ):
        as_numpy(kind(np.arange(3)))


def test_malformed_tensor_has_no_dtype():
    """It is never taken for a tensor of the right dtype, and keeps what the request claimed."""
    malformed = MalformedTensor(DataType.FP32, (1, 2), InvalidArgumentError("cut off"))
    assert not any(malformed.dtype == datatype.dtype for datatype in DataType)
    assert (malformed.datatype, malformed.shape, str(malformed.error)) == (DataType.FP32, (1, 2), "cut off")

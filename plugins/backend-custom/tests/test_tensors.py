"""Tensors of models: what they are made from, and DLPack both ways."""

from __future__ import annotations

import ctypes
import gc
import sys
import types

import ml_dtypes
import numpy as np
import pytest
import triton_python_backend_utils as pb_utils
from charonia.datatypes import DataType
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

NUMBERS = [datatype for datatype in DataType if datatype is not DataType.BYTES]


class OnGpu:
    """What another library's tensor on a GPU looks like from outside."""

    shape = (2, 3)

    def __dlpack__(self, **options):
        return options

    def __dlpack_device__(self):
        return 2, 1


def test_a_tensor_tells_what_it_is():
    """Name, shape, datatype and place; the array itself is not copied."""
    array = np.zeros((2, 3), np.float32)
    tensor = pb_utils.Tensor("x", array)
    assert tensor.name() == "x"
    assert tensor.shape() == [2, 3]
    assert tensor.triton_dtype() == 11
    assert tensor.is_cpu()
    assert tensor.as_numpy() is array
    assert repr(tensor) == "Tensor(name='x', shape=[2, 3])"


def test_a_name_is_needed():
    """An empty name is refused, in the reference's words."""
    with pytest.raises(pb_utils.TritonModelException, match=r"^Tensor name cannot be an empty string\.$"):
        pb_utils.Tensor("", np.zeros(1))
    with pytest.raises(pb_utils.TritonModelException, match=r"^Tensor name cannot be an empty string\.$"):
        pb_utils.Tensor.from_dlpack("", OnGpu())


def test_only_arrays_make_tensors():
    """A list is refused, and so is a dtype that no datatype has, in the reference's words."""
    with pytest.raises(TypeError, match="the tensor 'x' is made from a numpy array, not from list"):
        pb_utils.Tensor("x", [1])
    with pytest.raises(pb_utils.TritonModelException, match=r"^NumPy dtype is not supported\.$"):
        pb_utils.Tensor("x", np.zeros(1, np.complex64))


def test_text_arrays_become_string_tensors():
    """Arrays of fixed-width text and bytes become objects that hold bytes."""
    for array in (np.array(["a", "bc"]), np.array([b"a", b"bc"])):
        tensor = pb_utils.Tensor("x", array)
        assert tensor.as_numpy().dtype == np.object_
        assert tensor.as_numpy().tolist() == [b"a", b"bc"]
        assert tensor.triton_dtype() == 13


def test_another_byte_order_becomes_the_machines():
    """The values stay what they are."""
    tensor = pb_utils.Tensor("x", np.array([1, 2], np.dtype(np.int32).newbyteorder()))
    assert tensor.as_numpy().dtype == np.int32
    assert tensor.as_numpy().tolist() == [1, 2]


@pytest.mark.parametrize("datatype", NUMBERS, ids=lambda datatype: datatype.name)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_a_capsule_brings_every_datatype_back(datatype, shape):
    """Through a DLPack capsule a tensor keeps dtype, shape and values, BF16 included, and shares its memory."""
    array = np.ones(shape, datatype.dtype)
    back = pb_utils.Tensor.from_dlpack("y", pb_utils.Tensor("x", array).to_dlpack()).as_numpy()
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert not array.size or np.shares_memory(back, array)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_numpy_reads_a_tensor_through_dlpack(array):
    """A tensor is an object that speaks DLPack, for numpy as for any library."""
    assert np.from_dlpack(pb_utils.Tensor("x", array)).tobytes() == array.tobytes()


def test_memory_of_a_capsule_lives_as_long_as_it_is_used():
    """Neither the tensor nor the capsule needs to be kept."""
    back = pb_utils.Tensor.from_dlpack("y", pb_utils.Tensor("x", np.arange(1000)).to_dlpack())
    gc.collect()
    assert back.as_numpy().sum() == 499500


def test_read_only_memory_is_copied_for_a_capsule():
    """Whoever writes into a capsule's memory does not write into a request."""
    array = np.zeros(3, ml_dtypes.bfloat16)
    array.flags.writeable = False
    back = pb_utils.Tensor.from_dlpack("y", pb_utils.Tensor("x", array).to_dlpack()).as_numpy()
    assert not np.shares_memory(back, array)


def test_other_libraries_tensors_are_taken():
    """Objects that speak DLPack are taken as they are, numpy arrays among them."""
    array = np.arange(3)
    assert pb_utils.Tensor.from_dlpack("x", array).as_numpy() is array
    shared = pb_utils.Tensor.from_dlpack("x", pb_utils.Tensor("y", array))
    assert shared.as_numpy().tolist() == [0, 1, 2]
    assert shared.is_cpu()
    assert shared.triton_dtype() == DataType.INT64.number


def test_a_tensor_on_a_gpu_stays_there():
    """It can be passed on, and not be read."""
    tensor = pb_utils.Tensor.from_dlpack("x", OnGpu())
    assert not tensor.is_cpu()
    assert tensor.shape() == [2, 3]
    assert tensor.__dlpack_device__() == (2, 1)
    assert tensor.__dlpack__(5) == {"stream": 5}
    with pytest.raises(pb_utils.TritonModelException, match="stored in GPU and cannot be converted to NumPy"):
        tensor.as_numpy()


@pytest.fixture
def capsule_on_gpu():
    """A capsule that says that its memory is that of a GPU."""
    capsule = np.zeros(3, np.float32).__dlpack__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    ctypes.c_int32.from_address(pointer(capsule, b"dltensor") + 8).value = 2
    return capsule


def test_a_capsule_on_a_gpu_is_held_by_pytorch(capsule_on_gpu, monkeypatch):
    """Numpy cannot; where the model has imported PyTorch, the tensor stays on the GPU, and can be read as often as one likes."""
    given = []
    holds = types.SimpleNamespace(from_dlpack=lambda capsule: given.append(capsule) or OnGpu())
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(utils=types.SimpleNamespace(dlpack=holds)))
    tensor = pb_utils.Tensor.from_dlpack("x", capsule_on_gpu)
    assert given == [capsule_on_gpu]
    assert (tensor.name(), tensor.is_cpu(), tensor.shape()) == ("x", False, [2, 3])


def test_a_capsule_on_a_gpu_without_pytorch(capsule_on_gpu, monkeypatch):
    """What to do instead is told."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(pb_utils.TritonModelException, match=r"is a DLPack capsule of device \(2, 0\): pass the object"):
        pb_utils.Tensor.from_dlpack("x", capsule_on_gpu)


def test_a_build_of_pytorch_without_gpus(capsule_on_gpu):
    """It says why it cannot hold the memory."""
    pytest.importorskip("torch", reason="needs PyTorch, which takes capsules")
    with pytest.raises(pb_utils.TritonModelException, match="cannot be made from its DLPack capsule"):
        pb_utils.Tensor.from_dlpack("x", capsule_on_gpu)


def test_what_has_no_way_into_a_tensor():
    """Strings have no DLPack; a capsule that is used up, or no capsule at all, makes no tensor."""
    with pytest.raises(pb_utils.TritonModelException, match="does not have support for string tensors"):
        pb_utils.Tensor("x", np.array([b"a"], np.object_)).to_dlpack()
    capsule = pb_utils.Tensor("x", np.zeros(1)).to_dlpack()
    pb_utils.Tensor.from_dlpack("y", capsule)
    for used in (capsule, 5):
        with pytest.raises(
            pb_utils.TritonModelException, match="the tensor 'y' is made from a DLPack capsule that nobody"
        ):
            pb_utils.Tensor.from_dlpack("y", used)


def test_complex_capsule_is_refused():
    """A capsule with a datatype that the protocol lacks makes no tensor."""
    with pytest.raises(pb_utils.TritonModelException, match="NumPy dtype is not supported"):
        pb_utils.Tensor.from_dlpack("y", np.zeros(1, np.complex64).__dlpack__())


@given(st.sampled_from(NUMBERS))
def test_device_is_the_cpu(datatype):
    """A numpy array is on the CPU."""
    assert pb_utils.Tensor("x", np.zeros(1, datatype.dtype)).__dlpack_device__() == (1, 0)

"""Tensors between numpy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia_backend_pytorch.values import as_bytes, as_number, as_text, as_torch, datatype_of, from_torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

CPU = torch.device("cpu")
NUMBERS = [datatype for datatype in DataType if datatype is not DataType.BYTES]


@given(st.data(), st.sampled_from(NUMBERS), st.booleans(), st.booleans())
def test_array_comes_back_as_it_went(data, datatype, writeable, own):
    """Every datatype, shape and layout survives the way to PyTorch and back, from memory of either kind."""
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
    sent = np.arange(np.prod(shape)).reshape(shape).astype(datatype.dtype).T
    sent.flags.writeable = writeable
    tensor = as_torch(sent, CPU, own=own)
    received = from_torch(tensor, own=own)
    assert datatype_of(tensor.dtype) is datatype
    assert (received.dtype, received.shape) == (sent.dtype, sent.shape)
    assert received.tolist() == sent.tolist()


@pytest.mark.parametrize("datatype", NUMBERS, ids=lambda datatype: datatype.name)
def test_memory_is_shared_unless_it_shall_not_be(datatype):
    """Neither way copies, unless an own copy is asked for."""
    sent = np.ones(4, datatype.dtype)
    tensor = as_torch(sent, CPU, own=False)
    assert np.shares_memory(from_torch(tensor, own=False), sent)
    assert not np.shares_memory(from_torch(as_torch(sent, CPU, own=True), own=False), sent)
    assert not np.shares_memory(from_torch(tensor, own=True), sent)


def test_tensor_of_another_library_is_taken():
    """What speaks DLPack is taken without a copy."""
    tensor = torch.ones(3)
    assert as_torch(tensor, CPU, own=False).data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, 2, requires_grad=True),
        torch.ones(2, 2).to_sparse(),
        torch.ones(2, 2, dtype=torch.complex64).conj().real,
        torch.ones(2, 2, dtype=torch.bfloat16).t(),
    ],
    ids=["gradient", "sparse", "lazily negated", "transposed bfloat16"],
)
def test_every_kind_of_tensor_becomes_an_array(tensor):
    """Gradients, sparse layouts and lazy views are resolved."""
    assert from_torch(tensor, own=False).astype(np.float32).tolist() == [[1, 1], [1, 1]]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=5))
def test_text_comes_back_as_it_went(texts):
    """Strings of Python become elements of BYTES and are read again."""
    assert as_text("x", as_bytes(texts)) == texts


def test_bytes_that_are_no_text_are_refused():
    """PyTorch's strings are UTF-8."""
    tensor = np.array([b"\xff"], np.object_)
    with pytest.raises(InvalidArgumentError, match="input 'x' has an element that is no UTF-8"):
        as_text("x", tensor)


def test_number_is_the_one_element():
    """An array of one element is a number of Python."""
    assert as_number(np.array([3], np.int32)) == 3

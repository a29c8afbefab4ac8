"""Strings that remember as what bytes they came."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.received_strings import received, wire_form
from charonia.tensor import decode_bytes, encode_bytes
from hypothesis import given
from hypothesis import strategies as st

_MANY = 200
"""So many elements are remembered, however short."""


def strings(items):
    array = np.empty(len(items), np.object_)
    array[:] = items
    return array


def came(items):
    """Give elements that came over the wire, and as what."""
    wire = encode_bytes(strings(items))
    return decode_bytes(wire), wire


@pytest.mark.parametrize("items", [[b"of one length"] * _MANY, [b"x" * size for size in range(_MANY)]])
@pytest.mark.parametrize(
    "pass_on",
    [
        lambda array: array,
        lambda array: array.reshape(2, -1, 1),
        lambda array: array.reshape(4, -1)[:, :].ravel(),
        lambda array: array[None, :],
    ],
)
def test_what_is_passed_on_is_not_encoded_again(items, pass_on):
    """Whatever its shape, it is given out as the very bytes that came."""
    array, wire = came(items)
    assert array.tolist() == items
    assert encode_bytes(pass_on(array)) is wire


@given(
    st.lists(st.binary(max_size=9), min_size=1, max_size=4),
    st.sampled_from(
        [
            lambda array: array[::-1],
            lambda array: array[1:],
            lambda array: array[:-1],
            lambda array: np.broadcast_to(array[:1], array.shape),
            lambda array: array.reshape(2, -1).T,
            lambda array: array.copy(),
            lambda array: np.concatenate([array, array]),
            lambda array: np.roll(array, 1),
        ]
    ),
)
def test_another_order_or_number_is_encoded(some, change):
    """What was cut, repeated, turned round or copied is encoded as it is."""
    array, _ = came(some * _MANY)
    changed = change(array)
    assert encode_bytes(changed) == encode_bytes(strings(changed.ravel().tolist()))


@given(st.integers(0, _MANY - 1), st.binary(max_size=5))
def test_a_replaced_element_is_encoded(place, new):
    """An element that was written over is not forgotten, whichever view it was written through."""
    array, wire = came([b"old %d" % number for number in range(_MANY)])
    square = array.reshape(2, -1)
    square.flat[place] = new
    expected = [b"old %d" % number for number in range(_MANY)]
    expected[place] = new
    assert wire_form(array) is None
    assert decode_bytes(encode_bytes(square)).tolist() == expected
    assert decode_bytes(wire).tolist() != expected


def test_an_element_that_takes_the_place_of_a_freed_one_is_noticed():
    """The elements that came are kept alive, so that no other one can get the address of one of them."""
    array, _ = came([b"%04d" % number for number in range(_MANY)])
    for number in range(_MANY):
        array[number] = None
        array[number] = b"%04d" % (number + 1)
    assert decode_bytes(encode_bytes(array)).tolist() == [b"%04d" % (number + 1) for number in range(_MANY)]


def test_who_gets_them_sees_a_plain_array():
    """Nothing about them differs from an array of objects that somebody has made."""
    array, _ = came([b"element"] * _MANY)
    assert type(array) is np.ndarray
    assert array.dtype == np.object_
    assert array.flags.writeable
    assert {type(element) for element in array} == {bytes}


def test_few_are_not_remembered():
    """A handful is encoded in less time than it takes to compare it."""
    assert wire_form(received([b"a"], b"\x01\x00\x00\x00a")) is None


@pytest.mark.parametrize("array", [np.zeros(3), np.frombuffer(b"abc", np.uint8)[1:], strings([b"made here"] * _MANY)])
def test_what_did_not_come_has_no_wire_form(array):
    """Arrays of any other kind are told apart."""
    assert wire_form(array) is None

"""The greatest elements of an output, as text."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from charonia.classification import MAX_ELEMENTS, classify
from charonia.errors import InvalidArgumentError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

LABELS = (b"cat", b"dog", b"bird", b"")
NUMBERS = st.one_of(
    npst.integer_dtypes(endianness="="),
    npst.unsigned_integer_dtypes(endianness="="),
    npst.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
)
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)


def value_and_place(text):
    """Take an element apart."""
    value, place = text.split(b":")[:2]
    return float(value), int(place)


def test_values_places_and_labels_are_told():
    """Greatest first, equal ones by their place, six decimals, and the label where there is one."""
    scores = np.array([[0.1, 0.7, 0.2, 0.0, 0.7]], np.float32)
    assert classify(scores, 2, batched=True, labels=LABELS).tolist() == [[b"0.700000:1:dog", b"0.700000:4"]]
    everything = classify(scores, 2**64 - 1, batched=True, labels=LABELS)
    assert everything.tolist()[0][2:] == [b"0.200000:2:bird", b"0.100000:0:cat", b"0.000000:3"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(3.4e38), b"339999995214436424907732413799364296704.000000:0"),
        (np.float64(-1e-7), b"-0.000000:0"),
        (np.float32("inf"), b"inf:0"),
        (np.float16(0.5), b"0.500000:0"),
        (ml_dtypes.bfloat16(0.5), b"0.500000:0"),
        (np.uint64(2**64 - 1), b"18446744073709551615:0"),
        (np.int64(-(2**63)), b"-9223372036854775808:0"),
    ],
)
def test_numbers_are_written_in_full(value, text):
    """Floating-point numbers are written without an exponent, integers to the last digit."""
    assert classify(np.array([value]), 1, batched=False).tolist() == [text]


def test_nan_is_the_least():
    """What is no number stands behind all numbers."""
    told = classify(np.array([math.nan, -math.inf, 1.0, math.nan]), 4, batched=False)
    assert told.tolist() == [b"1.000000:2", b"-inf:1", b"nan:0", b"nan:3"]


@pytest.mark.parametrize("least", [-3.0, math.nan])
def test_few_of_many_are_the_same_as_the_first_of_all(least):
    """However many are wanted, the first ones are the same: the greatest, by their place."""
    scores = np.array([7, 5, 7, 6] * 50 + [least] * 1000, np.float32)
    everything = classify(scores, scores.size, batched=False).tolist()
    for count in (1, 3, 99, 149, 150, 151, 201):
        assert classify(scores, count, batched=False).tolist()[:200] == everything[: min(count, 200)]


@pytest.mark.parametrize("array", [np.array([b"x"], np.object_), np.array([True])])
def test_what_is_no_number_is_refused(array):
    """Text and truth values have no order that could be told."""
    with pytest.raises(InvalidArgumentError, match="class result not available for output due to unsupported type"):
        classify(array, 1, batched=False)


def test_size_is_limited():
    """An output of a million elements is classified; one more is too many."""
    scores = np.zeros(MAX_ELEMENTS + 1, np.int8)
    assert classify(scores[1:], 1, batched=False).tolist() == [b"0:0"]
    with pytest.raises(InvalidArgumentError, match="classification output tensor too large"):
        classify(scores, 1, batched=False)


def test_scalar_of_a_batching_model_is_one_element():
    """A model that gives no batch dimension where it should is told as it is."""
    assert classify(np.array(3, np.int32), 1, batched=True).tolist() == [b"3:0"]


@given(npst.arrays(NUMBERS, SHAPES), st.integers(1, 8), st.booleans())
def test_rows_are_sorted_and_true(array, count, batched):
    """Each row has the wanted number of elements, in falling order and by place, and no other element is greater."""
    told = classify(array, count, batched=batched)
    rows = array.reshape(array.shape[0], math.prod(array.shape[1:])) if batched else array.reshape(1, -1)
    assert told.shape == ((len(rows),) if batched else ()) + (min(count, rows.shape[1]),)
    for row, texts in zip(rows.tolist(), told if batched else [told], strict=True):
        places = [value_and_place(text)[1] for text in texts]
        order = sorted(range(len(row)), key=lambda place: (math.isnan(row[place]), -row[place], place))
        numbers = [place for place in order if not math.isnan(row[place])]
        assert [place for place in places if not math.isnan(row[place])] == numbers[:count]
        assert len(set(places)) == len(places)


@given(npst.arrays(np.int64, st.tuples(st.integers(0, 4), st.integers(0, 6))), st.integers(1, 8))
def test_a_batch_is_its_rows(array, count):
    """Classifying a batch is classifying each of its rows."""
    told = classify(array, count, batched=True, labels=LABELS)
    assert told.tolist() == [classify(row, count, batched=False, labels=LABELS).tolist() for row in array]

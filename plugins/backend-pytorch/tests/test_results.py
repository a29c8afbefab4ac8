"""Results, flat and in each other."""

from __future__ import annotations

import pytest
from charonia_backend_pytorch.results import flatten
from hypothesis import given
from hypothesis import strategies as st
from torch_modules import Pair

LEAVES = st.floats(allow_nan=False) | st.integers() | st.lists(st.text(max_size=3), min_size=1, max_size=3)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(tuple)
        | st.dictionaries(st.text(min_size=1, max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


def leaves_of(tree):
    """Count the leaves of a tree, the slow and plain way."""
    if isinstance(tree, dict):
        return sum(leaves_of(value) for value in tree.values())
    return sum(leaves_of(value) for value in tree) if isinstance(tree, tuple) else 1


@given(TREES)
def test_every_leaf_is_there_once_and_has_a_name_or_none(tree):
    """No part is lost, none comes twice, and there are as many names as parts."""
    names, values = flatten(tree)
    assert len(names) == len(values) == leaves_of(tree)


@pytest.mark.parametrize(
    ("result", "names", "values"),
    [
        (1.0, ("",), [1.0]),
        (["a", "b"], ("",), [["a", "b"]]),
        ([], ("",), [[]]),
        ((1, ["a"]), ("", ""), [1, ["a"]]),
        ([1, 2], ("", ""), [1, 2]),
        ({"a": 1, "b": (2, 3)}, ("a", "", ""), [1, 2, 3]),
        (Pair(1, 2), ("low", "high"), [1, 2]),
        (({"a": 1},), ("",), [1]),
    ],
    ids=str,
)
def test_names_are_those_of_dictionaries_and_named_tuples(result, names, values):
    """Only parts that stand in a dictionary or a named tuple by themselves have names."""
    assert flatten(result) == (names, values)

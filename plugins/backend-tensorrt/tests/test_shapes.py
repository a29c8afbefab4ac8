"""Profiles as people write them."""

from __future__ import annotations

import pytest
from charonia.errors import InvalidArgumentError
from charonia_backend_tensorrt.shapes import batch_profile, parse_profile
from charonia_backend_tensorrt.tensors import Span
from hypothesis import given
from hypothesis import strategies as st

SHAPES = st.lists(st.lists(st.integers(0, 300), min_size=3, max_size=3).map(sorted), max_size=4)


@given(st.dictionaries(st.from_regex(r"[a-z:/.]{1,8}", fullmatch=True), SHAPES, max_size=3))
def test_what_is_written_is_read(sizes):
    """For each input the least, best and greatest shape come back, whatever their rank."""
    spans = {name: [tuple(size[place] for size in shape) for place in range(3)] for name, shape in sizes.items()}
    text = " ".join(f"{name}=" + ":".join("x".join(map(str, each)) for each in span) for name, span in spans.items())
    assert parse_profile(text) == {name: Span(*span) for name, span in spans.items()}


def test_one_shape_is_all_three():
    """What does not vary is written once."""
    assert parse_profile("x=2x3") == {"x": Span((2, 3), (2, 3), (2, 3))}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "'x' in the profile 'x' cannot be read: expected NAME=LEAST:BEST:GREATEST"),
        ("x=1x3:2x3", "cannot be read"),
        ("x=axb", "cannot be read"),
        ("x=4:2:8", "contradicts itself: each size must grow"),
        ("x=1:2x2:3", "contradicts itself"),
    ],
)
def test_what_is_wrong_is_told(text, told):
    """The word and the whole profile are in the text."""
    with pytest.raises(InvalidArgumentError, match=told):
        parse_profile(text)


def test_batch_varies_from_one_to_the_greatest():
    """Without a profile the first dimension is the batch, and the greatest is the best."""
    assert batch_profile({"x": (-1, 3)}, 8) == {"x": Span((1, 3), (8, 3), (8, 3))}


def test_other_dimensions_need_a_profile():
    """Where more varies, nobody can guess the shapes."""
    with pytest.raises(InvalidArgumentError, match=r"more than the first dimension varies of x \[-1, -1\]"):
        batch_profile({"x": (-1, -1)}, 8)

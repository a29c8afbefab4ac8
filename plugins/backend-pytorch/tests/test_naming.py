"""From names to places."""

from __future__ import annotations

import pytest
from charonia_backend_pytorch.naming import Rule, indices_of
from hypothesis import given
from hypothesis import strategies as st

WORDS = st.text("abc_", min_size=1, max_size=6)


@given(st.lists(WORDS, min_size=1, max_size=6, unique=True), st.randoms())
def test_own_names_are_found_wherever_they_stand(names, random):
    """Any selection of the program's own names, in any order, leads to their places."""
    asked = random.sample(names, random.randint(1, len(names)))
    assert indices_of(asked, [(name,) for name in names]) == ([names.index(name) for name in asked], Rule.NAME)


@given(st.lists(st.tuples(st.text("abc", max_size=4), st.integers(0, 99)), min_size=1, max_size=6))
def test_numbers_lead_to_their_places(numbered):
    """Whatever stands before the two underscores, the number after them counts, if there are as many places or not."""
    indices, rule = indices_of([f"{word}__{number}" for word, number in numbered], [()])
    assert (indices, rule) == ([number for _, number in numbered], Rule.NUMBER)


@given(st.lists(WORDS.filter(lambda word: "__" not in word), min_size=1, max_size=6, unique=True))
def test_names_that_tell_nothing_stand_in_order(names):
    """Without a name of the program and without numbers, the order decides."""
    assert indices_of(names, [("x",), ("y",)] if names != ["x"] else [])[1] in {Rule.ORDER, Rule.NAME}
    assert indices_of(names, [])[0] == list(range(len(names)))


@pytest.mark.parametrize("names", [["x", "y__1"], ["x__0", "x__one"], ["a__b__0", "c__0"], ["x__٣"]])
def test_one_name_that_breaks_a_rule_breaks_it_for_all(names):
    """As in the reference, a rule holds for all inputs or for none; a number is of ASCII digits."""
    assert indices_of(names, [("x",), ("z",)]) == (list(range(len(names))), Rule.ORDER)


def test_a_place_may_have_two_names():
    """The name in the program and the path in its call lead to the same place."""
    known = [("x", "ARGS[0]"), ("scale", "KWARGS[scale]")]
    assert indices_of(["KWARGS[scale]", "x"], known) == ([1, 0], Rule.NAME)

"""What an operator restricts, and who is let in."""

from __future__ import annotations

import pytest
from charonia.errors import CharoniaError
from charonia.restricted_access import CATEGORIES, Restriction, read_restrictions
from hypothesis import given
from hypothesis import strategies as st


def test_groups_have_a_key_each():
    """Each category of a line gets the line's key; the value is everything after the first `=`."""
    assert read_restrictions(["health, statistics:k=v", "inference:Token=a=b:c "], "--x") == {
        "health": Restriction("k", "v"),
        "statistics": Restriction("k", "v"),
        "inference": Restriction("Token", "a=b:c "),
    }
    assert read_restrictions([], "--x") == {}


@pytest.mark.parametrize("line", ["", "health", "health:", "health:k", "health:=v", "health=k", "health: =v"])
def test_form_is_told(line):
    """A line of another form is refused with the form that is expected."""
    with pytest.raises(CharoniaError) as caught:
        read_restrictions([line], "--http-restricted-api")
    assert str(caught.value) == f"--http-restricted-api={line}: expected <category>[,<category>...]:<key>=<value>"


@pytest.mark.parametrize("line", ["Health:k=v", "health,:k=v", "models:k=v"])
def test_categories_are_known(line):
    """A category that there is not is refused with those that there are."""
    with pytest.raises(CharoniaError, match="is no part of the protocol; expected one of health, metadata, "):
        read_restrictions([line], "--x")


@pytest.mark.parametrize("lines", [["health,health:k=v"], ["health:k=v", "health:k=v"]])
def test_a_category_has_one_key(lines):
    """A category may stand in one group only."""
    with pytest.raises(CharoniaError, match="'health' is restricted already"):
        read_restrictions(lines, "--x")


@given(st.text(), st.none() | st.text())
def test_only_the_very_value_admits(value, told):
    """Whoever does not know the value to the letter is kept out."""
    assert Restriction("k", value).admits(told) is (told == value)
    assert Restriction("k", value).admits(value)


@given(st.lists(st.sampled_from(CATEGORIES) | st.text(max_size=5), max_size=3), st.text(max_size=5))
def test_any_line_is_read_or_refused(names, rest):
    """Whatever stands in a line, the outcome is restrictions or a sentence for the operator."""
    try:
        restrictions = read_restrictions([",".join(names) + rest], "--x")
    except CharoniaError:
        return
    assert restrictions.keys() <= set(CATEGORIES)

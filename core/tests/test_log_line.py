"""Names that clients gave, in a line of the log."""

from __future__ import annotations

from charonia.log_line import in_one_line
from hypothesis import given
from hypothesis import strategies as st


@given(st.text())
def test_a_name_neither_ends_a_line_nor_hides_anything(name: str):
    """Whatever a client calls something, it is written with characters that a reader sees, in one line."""
    written = in_one_line(name)
    assert written.isprintable()
    assert len(written.splitlines()) <= 1


@given(st.text())
def test_a_name_that_keeps_to_its_line_is_written_as_it_is(name: str):
    """Nothing is escaped in a name that needs it not, backslashes and quotes of its own included."""
    assert (in_one_line(name) == name) == name.isprintable()


@given(st.text(), st.text())
def test_characters_that_nobody_sees_change_nothing_about_others(before: str, behind: str):
    """A quote beside a line break is a quote."""
    assert in_one_line(before + behind) == in_one_line(before) + in_one_line(behind)

"""Which header fields go on to the model."""

from __future__ import annotations

import pytest
from charonia.errors import CharoniaError, InvalidArgumentError
from charonia.header_forwarding import HeaderForwarding

FIELDS = {"X-A": "1", "x-b": "two", "Other": "no", "my-x-c": "3"}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("x-.*", ["X-A", "x-b", "my-x-c"]),
        ("^x-", ["X-A", "x-b"]),
        ("(?-i)^x-", ["x-b"]),
        ("(?-i)^X-", ["X-A"]),
        ("^(x-a|other)$", ["X-A", "Other"]),
        ("nothing", []),
        ("", ["X-A", "x-b", "Other", "my-x-c"]),
    ],
)
def test_names_are_looked_at(pattern, names):
    """The pattern is looked for anywhere in a name, in either case unless it says otherwise; names keep their case."""
    told = HeaderForwarding(pattern, "--x").parameters(FIELDS)
    assert told == {name: value for name, value in FIELDS.items() if name in names}


@pytest.mark.parametrize("name", ["timeout", "Priority", "sequence_id", "headers", "triton_x"])
def test_reserved_names_are_refused(name):
    """A field that would pass for a parameter of the protocol is refused if it is chosen, and nobody minds it otherwise."""
    with pytest.raises(InvalidArgumentError) as caught:
        HeaderForwarding(".*", "--x").parameters({name: "1"})
    assert str(caught.value) == f"Header '{name}' is reserved for Triton usage and cannot be forwarded."
    assert HeaderForwarding("^x-", "--x").parameters({name: "1"}) == {}


@pytest.mark.parametrize("pattern", ["(", "(?-i)[", "*"])
def test_pattern_that_is_none_is_told(pattern):
    """What is no regular expression is refused when the frontend is made."""
    with pytest.raises(CharoniaError, match="this is no regular expression"):
        HeaderForwarding(pattern, "--http-header-forward-pattern")

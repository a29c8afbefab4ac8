"""The header fields that say what a body is and what is wanted."""

from __future__ import annotations

import pytest
from charonia_frontend_http.media_type import accepted, media_type


@pytest.mark.parametrize(
    ("field", "kind", "parameters"),
    [
        ("", "", {}),
        ("Application/JSON", "application/json", {}),
        ("application/json; charset=utf-8", "application/json", {b"charset": b"utf-8"}),
        ('multipart/form-data; boundary="a;b"', "multipart/form-data", {b"boundary": b"a;b"}),
        ("\udcff; x", "\xff", {b"x": b""}),
    ],
)
def test_content_type_is_taken_apart(field, kind, parameters):
    """The type is in lower case, and its parameters are there, whatever was sent."""
    found, told = media_type(field)
    assert (found, dict(told)) == (kind, parameters)


@pytest.mark.parametrize(
    ("field", "kinds"),
    [
        ("", []),
        ("*/*", ["*/*"]),
        ("application/json;q=0.5, application/x-npy", ["application/x-npy", "application/json"]),
        ("A/B, c/d; q=0, e/f; level=1; q=oops", ["a/b"]),
        (",;,", []),
    ],
)
def test_accepted_types_come_by_weight(field, kinds):
    """Those that are wanted most come first, and those of weight 0, or of one that is none, do not come."""
    assert accepted(field) == kinds

"""Header fields, and what several of one name mean."""

from __future__ import annotations

import pytest
from charonia.header_fields import HeaderFields


def test_names_are_found_in_any_case():
    """Look-up ignores case; the names are told as they came."""
    fields = HeaderFields([("X-One", "1"), ("host", "h")])
    assert (fields["x-ONE"], fields.get("HOST"), fields.get("none"), fields.get("none", "")) == ("1", "h", None, "")
    assert dict(fields) == {"X-One": "1", "host": "h"}
    assert len(fields) == 2
    with pytest.raises(KeyError):
        fields["none"]


def test_fields_of_one_name_are_a_list():
    """They are joined in their order, cookies in their own way, and the first one gives the name."""
    fields = HeaderFields([("X-A", "1"), ("Cookie", "a=b"), ("x-a", "2"), ("cookie", "c=d"), ("X-a", "3")])
    assert dict(fields) == {"X-A": "1, 2, 3", "Cookie": "a=b; c=d"}
    assert fields.doubled == ()


def test_fields_of_one_value_that_come_twice_are_told():
    """HTTP's own ones are told, whether their values differ or not."""
    fields = HeaderFields([("Host", "h"), ("Accept", "a"), ("host", "h"), ("accept", "b"), ("Content-Type", "t")])
    assert fields.doubled == ("host",)

"""Objects of JSON that name a member more than once: of equal keys the first one wins, as in the reference.

The quick parser keeps the last one and does not tell. Who looks at a request on its way might see another one than is served; so
the keys that it has given are counted, and those that are written.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["first_of_equal_keys", "may_have_equal_keys"]

_KEY_END = re.compile(rb'"[ \t\r\n]*:')


def may_have_equal_keys(document: bytes, value: object) -> bool:
    """Tell whether objects of a document have equal keys. Never false where they do; seldom true where they do not.

    Args:
        document: sound JSON.
        value: what it says, with one member for equal keys.
    """
    keys = _count_keys(value)
    if document.count(b":") == keys:  # each key has one, and strings may have others
        return False
    without_escapes = document.replace(rb"\\", b"").replace(rb"\"", b"")
    return len(_KEY_END.findall(without_escapes)) != keys


def _count_keys(value: object) -> int:
    """Count the keys of all objects, save those in arrays that begin with something else, as only tensors' data do."""
    count = 0
    left = [value]
    while left:
        one = left.pop()
        if type(one) is dict:
            count += len(one)
            left += one.values()
        elif type(one) is list and one and type(one[0]) is dict:
            left += one
    return count


def first_of_equal_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members, as they are written."""
    members = dict(pairs)
    return members if len(members) == len(pairs) else dict(reversed(pairs))

"""How deep the arrays and objects of a JSON document may be nested: all of it is bounded, whichever parser reads it."""

from __future__ import annotations

from charonia.errors import InvalidArgumentError

__all__ = ["MAX_DEPTH", "check_nesting", "too_deep"]

MAX_DEPTH = 100
"""How many arrays and objects may be within each other, as later releases of the reference have it for tensors' data."""

_CONTAINERS = (dict, list)


def check_nesting(document: bytes, value: object) -> None:
    """See how deep a document is, level by level.

    Args:
        document: sound JSON.
        value: what it says.

    Raises:
        InvalidArgumentError: it is nested too deep.
    """
    if document.count(b"[") + document.count(b"{") <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer if type(outer) is list else ())
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return
    raise too_deep()


def too_deep() -> InvalidArgumentError:
    """Make the error for a document that is nested too deep."""
    return InvalidArgumentError(f"JSON nesting depth exceeds maximum allowed limit ({MAX_DEPTH})")

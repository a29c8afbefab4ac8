"""The results of a program, which may be one value, a tuple, a dictionary, or these in each other."""

from __future__ import annotations

from typing import Any

__all__ = ["flatten"]


def flatten(result: Any) -> tuple[tuple[str, ...], list[Any]]:
    """Give the names and the values of a result's parts, in their order.

    A part is a tensor, a list of strings, or a number. Only the entries of a dictionary or named tuple that stand by themselves
    have names; those of others are "".
    """
    if _is_part(result):
        return ("",), [result]
    names: list[str] = []
    values: list[Any] = []
    for key, value in _entries(result):
        if _is_part(value):
            names.append(key)
            values.append(value)
        else:
            _, inner = flatten(value)
            names += [""] * len(inner)
            values += inner
    return tuple(names), values


def _is_part(value: Any) -> bool:
    return not isinstance(value, dict | tuple | list) or _is_text(value)


def _is_text(value: Any) -> bool:
    """Tell whether a value is a list of strings; an empty list is taken for one, since lists of tensors are not empty."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _entries(result: Any) -> list[tuple[str, Any]]:
    if isinstance(result, dict):
        return [(str(key), value) for key, value in result.items()]
    return list(zip(getattr(result, "_fields", [""] * len(result)), result, strict=True))

"""Taking values out of a parsed JSON document, with the reference's complaints where they are of the wrong type."""

from __future__ import annotations

import json
from typing import Any

import orjson
from charonia.errors import InvalidArgumentError

from charonia_frontend_http.equal_keys import first_of_equal_keys, may_have_equal_keys
from charonia_frontend_http.json_parser import parse_json
from charonia_frontend_http.nesting import check_nesting, too_deep

__all__ = [
    "load_json",
    "member",
    "take_bool",
    "take_list",
    "take_object",
    "take_string",
    "take_unsigned",
    "wrong_type",
]

MAX_INT64 = 2**63 - 1
MAX_UINT64 = 2**64 - 1

_STRICT_UP_TO = 16_384
"""The largest document that the strict parser reads, in bytes: it takes a microsecond for each."""


def load_json(document: bytes | memoryview) -> Any:
    """Parse a document, the quick way if it can be had. The first of equal keys wins, as in the reference.

    Raises:
        InvalidArgumentError: the document is no JSON, in the reference's words where it is no large one, or nested too deep.
    """
    text = document if isinstance(document, bytes) else bytes(document)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        if len(text) <= _STRICT_UP_TO:
            return parse_json(text)
        value = _load_by_python(text)
    else:
        if may_have_equal_keys(text, value):
            value = _load_by_python(text)
    check_nesting(text, value)
    return value


def _load_by_python(document: bytes) -> Any:
    """Parse what the quick parser refuses or reads otherwise, and the strict one would read for so long that others have to wait.

    Python's own parser knows NaN and infinity, and is as quick as most; it words mistakes in its own way.
    """
    try:
        return json.loads(document.decode("utf-8", "surrogateescape"), object_pairs_hook=first_of_equal_keys)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at {error.pos}"
    except ValueError as error:  # a number of thousands of digits
        reason = str(error)
    except RecursionError:
        raise too_deep() from None
    raise InvalidArgumentError(f"failed to parse the request JSON buffer: {reason}")


def wrong_type(wanted: str, context: str = "") -> InvalidArgumentError:
    """Make the error for a value of the wrong type; `context` stands in front, where the reference has one."""
    words = {
        "boolean": "non-boolean as boolean",
        "unsigned": "non-unsigned-integer as unsigned-integer",
        "signed": "non-signed-integer as signed-integer",
        "number": "non-number as double",
        "string": "non-string as string",
        "array": "non-array as array",
        "object": "non-object as object",
    }
    return InvalidArgumentError(f"{context}attempt to access JSON {words[wanted]}")


def member(container: dict[str, Any], name: str) -> Any:
    """Give a member that must be there."""
    try:
        return container[name]
    except KeyError:
        raise InvalidArgumentError(
            f"Unable to parse '{name}': attempt to access non-existing object member '{name}'"
        ) from None


def take_string(container: dict[str, Any], name: str) -> str:
    """Give a member that must be there and a string."""
    value = member(container, name)
    if type(value) is not str:
        raise wrong_type("string", f"Unable to parse '{name}': ")
    return value


def take_list(container: dict[str, Any], name: str) -> list[Any]:
    """Give a member that must be there and an array."""
    value = member(container, name)
    if type(value) is not list:
        raise wrong_type("array", f"Unable to parse '{name}': ")
    return value


def take_object(value: object) -> dict[str, Any]:
    """Give a value that must be an object."""
    if type(value) is not dict:
        raise wrong_type("object")
    return value


def take_bool(value: object, context: str) -> bool:
    """Give a value that must be true or false."""
    if type(value) is not bool:
        raise wrong_type("boolean", context)
    return value


def take_unsigned(value: object, context: str) -> int:
    """Give a value that must be a whole number from 0 to 2^64 - 1."""
    if type(value) is not int or not 0 <= value <= MAX_UINT64:
        raise wrong_type("unsigned", context)
    return value

"""The header field that says how many bytes of a body are JSON; tensors in binary form follow them."""

from __future__ import annotations

import re
import sys
from functools import lru_cache

from charonia.errors import InvalidArgumentError

from charonia_frontend_http.message import JSON_SIZE

__all__ = ["HeaderLengthError", "read_json_size"]

_INTEGER = re.compile(r"\s*-?[0-9]+\s*")
_MOST_DIGITS = 40
"""More than any length has, with spaces around it."""


class HeaderLengthError(InvalidArgumentError):
    """The header field with the length of the JSON is wrong. As in the reference, this is told before anything is read."""


@lru_cache(256)
def read_json_size(text: str) -> int:
    """Give the number that the header field says, which may be anything: less than 0, or more than the body has.

    Raises:
        HeaderLengthError: it says no number.
    """
    if not _INTEGER.fullmatch(text):
        raise HeaderLengthError(f"Unable to parse {JSON_SIZE}, got: {text.strip()}")
    return int(text) if len(text) <= _MOST_DIGITS else sys.maxsize

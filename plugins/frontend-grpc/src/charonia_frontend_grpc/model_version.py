"""The version that a message names."""

from __future__ import annotations

from charonia.errors import InvalidArgumentError

__all__ = ["read_version"]

_MAX_VERSION_DIGITS = 18


def read_version(text: str) -> int | None:
    """Read a version; None is for the server to choose.

    Raises:
        InvalidArgumentError: it is no whole number, or negative; with the reference's text.
    """
    if not text:
        return None
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _MAX_VERSION_DIGITS:
        raise InvalidArgumentError(
            f"failed to get model version from specified version string '{text}' (details: stol), version should be an "
            "integral value > 0"
        )
    if text != digits:
        raise InvalidArgumentError(
            f"invalid model version specified '{text}' , version should be an integral value > 0"
        )
    return int(text)

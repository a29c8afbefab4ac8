"""What a body is, and what a client wants to get: the header fields Content-Type and Accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORM", "NPY", "accepted", "media_type"]

NPY = "application/x-npy"
FORM = "multipart/form-data"


def media_type(field: str) -> tuple[str, Mapping[bytes, bytes]]:
    """Take a Content-Type apart: the type in lower case, "" where there is none, and its parameters."""
    kind, parameters = parse_options_header(field.encode("utf-8", "surrogateescape"))
    return kind.decode("latin-1").lower(), parameters


def accepted(field: str) -> list[str]:
    """List the media types of an Accept, in lower case, those that are wanted most first; types of weight 0 are left out."""
    weighted = []
    for item in field.split(","):
        kind, *parameters = [part.strip().lower() for part in item.split(";")]
        weight = next((_weight(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
        if kind and weight > 0:
            weighted.append((weight, kind))
    return [kind for _, kind in sorted(weighted, key=lambda entry: -entry[0])]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0

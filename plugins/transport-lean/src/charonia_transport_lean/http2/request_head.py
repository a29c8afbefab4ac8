"""What the header fields of a request say (RFC 9113, section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from charonia.header_fields import HeaderFields

if TYPE_CHECKING:
    from charonia_transport_lean.http2.header_blocks import Headers

__all__ = ["MalformedError", "RequestHead", "read_head"]

_PSEUDO = frozenset({":method", ":scheme", ":authority", ":path"})
_OF_CONNECTIONS = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
_NAME = re.compile(r":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_MOST_DIGITS = 19
_VALUE = re.compile(r"[^\x00\r\n]*")


class MalformedError(Exception):
    """The fields are those of no request; its stream ends with an error of the protocol."""


@dataclass(frozen=True)
class RequestHead:
    """A request without its body. The same object stands for all requests with the same fields.

    Attributes:
        method: the verb; "" in trailers.
        path: the path with its query.
        fields: the fields that are no pseudo-fields, names in lower case, with `host` from `:authority`.
        length: how long the body is, where it says so, in bytes; else None.
    """

    method: str
    path: str
    fields: Headers
    length: int | None

    @cached_property
    def headers(self) -> HeaderFields:
        """The fields by name."""
        return HeaderFields(self.fields)


def read_head(fields: Headers) -> RequestHead | MalformedError:
    """Read a request's fields, or its trailers; what is wrong with them is given, not raised, to be remembered as well."""
    try:
        pseudo, rest = _split(fields)
        _check(pseudo, rest)
        length = _length(rest)
    except MalformedError as error:
        return error
    authority = pseudo.get(":authority")
    if authority is not None and not any(name == "host" for name, _ in rest):
        rest = (("host", authority), *rest)
    return RequestHead(pseudo.get(":method", ""), pseudo.get(":path", ""), rest, length)


def _split(fields: Headers) -> tuple[dict[str, str], Headers]:
    pseudo: dict[str, str] = {}
    for place, (name, value) in enumerate(fields):
        if not name.startswith(":"):
            rest = fields[place:]
            if any(later.startswith(":") for later, _ in rest):
                raise MalformedError("a pseudo-field after a field")
            return pseudo, rest
        if name not in _PSEUDO or name in pseudo:
            raise MalformedError(f"the pseudo-field {name!r} is unknown, or comes twice")
        pseudo[name] = value
    return pseudo, ()


def _check(pseudo: dict[str, str], rest: Headers) -> None:
    if pseudo and pseudo.get(":method") != "CONNECT":
        if not {":method", ":scheme", ":path"} <= pseudo.keys():
            raise MalformedError("a pseudo-field is missing")
        path = pseudo[":path"]
        if not path.startswith("/") and not (path == "*" and pseudo[":method"] == "OPTIONS"):
            raise MalformedError("the path is none")
    for name, value in (*pseudo.items(), *rest):
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or value != value.strip(" \t"):
            raise MalformedError(f"the field {name!r} is none")
        if name in _OF_CONNECTIONS or (name == "te" and value != "trailers"):
            raise MalformedError(f"the field {name!r} belongs to connections of HTTP/1.1")


def _length(rest: Headers) -> int | None:
    told = {value for name, value in rest if name == "content-length"}
    if not told:
        return None
    (value, *others) = told
    if others or not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS):
        raise MalformedError("the content's length is none, or several")
    return int(value)

"""Requests and responses of HTTP, free of any transport."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from charonia_frontend_http.status import STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.errors import InferenceError

__all__ = ["BINARY", "JSON", "PLAIN", "HttpRequest", "HttpResponse", "error_response"]

JSON = "application/json"
PLAIN = "text/plain"
BINARY = "application/octet-stream"


@dataclass(slots=True)
class HttpRequest:
    """A whole request.

    Attributes:
        method: the verb, as sent.
        target: the request target, as sent: a path, perhaps with a query, or an absolute URL.
        headers: the header fields; look-up by name ignores case.
        body: the body, chunked coding undone, content coding not.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class HttpResponse:
    """A whole response. As in the reference, an empty body is `text/plain`."""

    status: int = 200
    body: bytes = b""
    content_type: str = PLAIN
    headers: Mapping[str, str] = field(default_factory=dict)


def error_response(error: InferenceError, content_type: str = JSON, status: int = 0) -> HttpResponse:
    """Tell a client an error, in the protocol's form: a JSON object with the text."""
    return HttpResponse(status or STATUS[error.code], error_body(str(error)), content_type)


def error_body(text: str) -> bytes:
    """Write the body of an error. Text from a client may be no UTF-8: what cannot be told is replaced."""
    return orjson.dumps({"error": text.encode("utf-8", "replace").decode()})

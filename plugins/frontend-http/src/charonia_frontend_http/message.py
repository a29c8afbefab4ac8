"""Requests and responses of HTTP, free of any transport."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from charonia_frontend_http.status import STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.errors import InferenceError

__all__ = [
    "BINARY",
    "EVENTS",
    "JSON",
    "PLAIN",
    "BodyStream",
    "HttpRequest",
    "HttpResponse",
    "error_body",
    "error_response",
]

JSON = "application/json"
PLAIN = "text/plain"
BINARY = "application/octet-stream"
EVENTS = "text/event-stream; charset=utf-8"


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


class BodyStream(AsyncIterator[bytes]):
    """A body in pieces, none of them empty, each to be sent at once."""

    @abstractmethod
    def close(self) -> None:
        """Stop making it. Idempotent."""


@dataclass(slots=True)
class HttpResponse:
    """A response: a whole body, or a stream that gives it piece by piece.

    Attributes:
        status: the status code.
        body: the body, where there is no stream.
        content_type: the header field Content-Type.
        headers: further header fields.
        stream: what gives the body while it is made. Whoever takes it closes it, read to its end or not.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = PLAIN
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: BodyStream | None = None


def error_response(error: InferenceError, content_type: str = JSON, status: int = 0) -> HttpResponse:
    """Tell a client an error, in the protocol's form: a JSON object with the text."""
    return HttpResponse(status or STATUS[error.code], error_body(str(error)), content_type)


def error_body(text: str) -> bytes:
    """Write the body of an error. Text from a client may be no UTF-8: what cannot be told is replaced."""
    return orjson.dumps({"error": text.encode("utf-8", "replace").decode()})

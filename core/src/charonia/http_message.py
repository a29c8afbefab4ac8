"""Requests and responses of HTTP, free of any network library, as a frontend's application and its transport pass them."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.byte_parts import ByteParts
    from charonia.trace import Onlooker

__all__ = [
    "BodyStream",
    "HttpAnswering",
    "HttpRequest",
    "HttpResponse",
    "RequestHead",
    "refusal",
    "response_head",
    "settled",
]

_REASON = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


@dataclass(slots=True)
class RequestHead:
    """What stands before the body of a request.

    Clients send the same head again and again. A transport that notices it gives the same object again, so that the application
    has to think about it only once.

    Attributes:
        method: the verb, as sent.
        target: the request target, as sent: a path, perhaps with a query, or an absolute URL.
        headers: the header fields; look-up by name ignores case, and several of one name are one list: see
            `charonia.header_fields`.
        plan: how the application answers such requests, once it knows; None before. Not a transport's concern.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    plan: Any = None


@dataclass(slots=True)
class HttpRequest:
    """A whole request.

    Attributes:
        head: what stands before the body.
        body: the body, chunked coding undone, content coding not; of a large one perhaps a view of the memory where it arrived,
            which is its own.
        onlooker: what looks on while it is answered, or None. Not a transport's concern.
    """

    head: RequestHead
    body: bytes | memoryview
    onlooker: Onlooker | None = None

    @property
    def method(self) -> str:
        """The verb, as sent."""
        return self.head.method

    @property
    def target(self) -> str:
        """The request target, as sent."""
        return self.head.target

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields."""
        return self.head.headers


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
    body: bytes | ByteParts = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: BodyStream | None = None


HttpAnswering: TypeAlias = "HttpResponse | Coroutine[Any, Any, HttpResponse]"
"""The response where it is there at once, or else what gives it."""


async def settled(answering: HttpAnswering) -> HttpResponse:
    """Wait for a response that is not there at once."""
    return answering if isinstance(answering, HttpResponse) else await answering


def refusal(status: int, text: str) -> bytes:
    """Write a transport's own answer, over HTTP/1.1, to what never reaches the application; the connection closes after it."""
    body = json.dumps({"error": text}, separators=(",", ":")).encode()
    response = HttpResponse(status, body, headers={"Connection": "close"})
    return response_head("HTTP/1.1", response, "", f"Content-Length: {len(body)}\r\n") + body


@lru_cache(1024)
def _lines(status: int, content_type: str, own: tuple[tuple[str, str], ...]) -> str:
    """Write what answers of a kind have in common, from the status on."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in own])
    return f" {status} {_REASON.get(status, 'Error')}\r\nContent-Type: {content_type}\r\n{fields}"


def response_head(version: str, response: HttpResponse, connection: str, framing: str) -> bytes:
    """Write the head of a response, up to the empty line that ends it.

    Args:
        version: "HTTP/1.1" or "HTTP/1.0".
        response: what is answered.
        connection: the field Connection with its line end, or "".
        framing: the field that tells where the body ends, with its line end, or "".
    """
    common = _lines(response.status, response.content_type, tuple(response.headers.items()))
    return f"{version}{common}{connection}Date: {_date()}\r\n{framing}\r\n".encode("latin-1")


_today = (0, "")


def _date() -> str:
    """Tell the time as HTTP writes it, made once a second."""
    global _today  # noqa: PLW0603 - a cache of the clock
    now = int(time.time())
    if now != _today[0]:
        _today = (now, formatdate(now, usegmt=True))
    return _today[1]

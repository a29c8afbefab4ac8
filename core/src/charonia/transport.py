"""The interface of a transport: what carries a protocol's messages over the network.

A frontend's application turns a message into an answer and knows no network library. A transport listens, reads messages
from its connections, hands them to the application, and writes what it answers. The frontends bring one of their own, which is
called `standard`; plugins offer others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from charonia.http_message import HttpRequest, HttpResponse

__all__ = ["AUTOMATIC", "STANDARD", "HttpHandler", "HttpLimits", "HttpTransport"]

STANDARD = "standard"
"""The name of the transport that each frontend brings itself."""

AUTOMATIC = "auto"
"""Means the transport of the one plugin that offers one, and the standard one where none does, or several do."""

HttpHandler: TypeAlias = "Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]]"
"""Answers a request. Does not raise, except where it is cancelled: then the client has gone."""


@dataclass(frozen=True)
class HttpLimits:
    """How large the parts of a request may be, in bytes.

    Attributes:
        line: the request line, and each header field.
        body: the body.
    """

    line: int
    body: int

    @property
    def body_refusal(self) -> str:
        """What a client is told whose body is too large."""
        return f"request body exceeds the maximum of {self.body} bytes. Use --http-max-body-size to increase the limit."

    @property
    def line_refusal(self) -> str:
        """What a client is told whose head is too large."""
        return "a line of the request's head is too long. Use --http-max-header-size to increase the limit."


class HttpTransport(ABC):
    """Serves an application over HTTP/1.1. Lives on an event loop.

    Args:
        handle: answers a request.
        limits: what is too large.
    """

    def __init__(self, handle: HttpHandler, limits: HttpLimits) -> None:
        self.handle = handle
        self.limits = limits

    @abstractmethod
    async def listen(self, address: str, port: int, *, reuse_port: bool, tls: ssl.SSLContext | None = None) -> int:
        """Accept connections. Gives the port, which is another one where 0 was asked for.

        Raises:
            OSError: the address is taken, or not of this machine.
        """

    @abstractmethod
    async def close(self, grace_seconds: float) -> None:
        """Close the door and idle connections at once; the others when their request is answered, or after the grace.

        A request of which some part has arrived is awaited and answered. Idempotent.
        """

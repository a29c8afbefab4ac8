"""The interface of a transport: what carries a protocol's messages over the network.

A frontend's application turns a message into an answer and knows no network library. A transport listens, reads messages
from its connections, hands them to the application, and writes what it answers. The frontends bring one of their own, which is
called `standard`; plugins offer others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from charonia.http_message import HttpAnswering, HttpRequest
    from charonia.rpc import RpcApplication
    from charonia.tls import TlsFiles

__all__ = [
    "AUTOMATIC",
    "STANDARD",
    "HttpHandler",
    "HttpLimits",
    "HttpTransport",
    "KeepAlive",
    "RpcSettings",
    "RpcTransport",
    "choose_transport",
]

STANDARD = "standard"
"""The name of the transport that each frontend brings itself."""

AUTOMATIC = "auto"
"""Means the transport of the one plugin that offers one, and the standard one where none does, or several do."""

HttpHandler: TypeAlias = "Callable[[HttpRequest], HttpAnswering]"
"""Answers a request, at once where nothing has to be waited for. Does not raise, except where what it gives is cancelled: then
the client has gone."""


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
    """Serves an application over HTTP. Lives on an event loop.

    Args:
        handle: answers a request.
        limits: what is too large.
    """

    def __init__(self, handle: HttpHandler, limits: HttpLimits) -> None:
        self.handle = handle
        self.limits = limits

    @abstractmethod
    async def listen(self, address: str, port: int, *, reuse_port: bool, tls: TlsFiles | None = None) -> int:
        """Accept connections. Gives the port, which is another one where 0 was asked for.

        Args:
            address: the address of this machine to listen at.
            port: the port, or 0 for a free one.
            reuse_port: whether others may listen there, too.
            tls: the files for TLS, or None for plain text.

        Raises:
            OSError: the address is taken, or not of this machine.
        """

    @abstractmethod
    async def close(self, grace_seconds: float) -> None:
        """Close the door and idle connections at once; the others when their request is answered, or after the grace.

        A request of which some part has arrived is awaited and answered. Idempotent.
        """


@dataclass(frozen=True)
class KeepAlive:
    """When connections for calls are tried, and when they end. The defaults are gRPC's own.

    Attributes:
        time_ms: how long a connection may be silent before a ping.
        timeout_ms: how long that ping may go without an answer.
        without_calls: whether connections without calls are pinged, too.
        max_pings_without_data: how many pings may follow each other without data; 0 is any number.
        min_ping_interval_ms: how often clients may ping without data.
        max_ping_strikes: how many pings too early end a client's connection; 0 is none at all.
        max_age_ms: how old a connection may become; 0 is any age.
        max_age_grace_ms: how long calls may outlive that age; 0 is for ever.
    """

    time_ms: int = 7_200_000
    timeout_ms: int = 20_000
    without_calls: bool = False
    max_pings_without_data: int = 2
    min_ping_interval_ms: int = 300_000
    max_ping_strikes: int = 2
    max_age_ms: int = 0
    max_age_grace_ms: int = 0


@dataclass(frozen=True)
class RpcSettings:
    """What a transport for calls can be told.

    Attributes:
        compression: how answers of methods that allow it are compressed: "none", "low", "medium" or "high".
        max_message_size: the largest message of a client, in bytes.
        keep_alive: the care of connections.
    """

    compression: str = "none"
    max_message_size: int = 2_147_483_647
    keep_alive: KeepAlive = KeepAlive()

    def check_size(self, size: int) -> None:
        """Refuse a message of too many bytes.

        Raises:
            InvalidArgumentError: it is larger than any may be.
        """
        if size > self.max_message_size:
            raise InvalidArgumentError(
                f"request has a byte_size ({size} bytes) that exceeds the maximum allowed value of "
                f"{self.max_message_size} bytes. Use --grpc-max-message-size to increase the limit."
            )


class RpcTransport(ABC):
    """Serves an application over gRPC. Lives on an event loop.

    Args:
        application: answers the calls.
        settings: how to carry them.
    """

    def __init__(self, application: RpcApplication, settings: RpcSettings) -> None:
        self.application = application
        self.settings = settings

    @abstractmethod
    async def listen(self, address: str, port: int, *, reuse_port: bool, tls: TlsFiles | None = None) -> int:
        """Accept connections; as `HttpTransport.listen`."""

    @abstractmethod
    async def close(self, grace_seconds: float) -> None:
        """Close the door, end streams when what they asked is answered, and cancel what is left after the grace. Idempotent."""


def choose_transport(wish: str, offered: Sequence[str], elsewhere: Collection[str]) -> str:
    """Tell which transport serves a frontend.

    Args:
        wish: what the operator wants: a name, or `AUTOMATIC`.
        offered: the transports that plugins offer for this protocol.
        elsewhere: those that they offer for another one. A wish for one of these is none for this protocol.
    """
    if wish == AUTOMATIC:
        return offered[0] if len(offered) == 1 else STANDARD
    return STANDARD if wish in elsewhere and wish not in offered else wish

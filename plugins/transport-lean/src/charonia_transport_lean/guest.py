"""A connection as its door sees it, and the door as its connections do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from charonia.transport import HttpTransport, RpcTransport

__all__ = ["Guest", "Host"]


class Guest(ABC):
    """A connection, as its door sees it.

    Attributes:
        touched: when the client did something the last time that makes a wait legitimate, in the loop's seconds.
    """

    __slots__ = ()

    touched: float

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether it waits for a request, no part of which has come."""

    @property
    @abstractmethod
    def stalled(self) -> bool:
        """Whether it waits for its client: for the rest of a request, for the reading of a response, or for its farewell."""

    def look(self) -> None:
        """See how the client gets on, now and then."""

    @abstractmethod
    def send(self) -> None:
        """Send what was written in this turn of the loop."""

    def leave(self) -> None:
        """Take no new requests, and close when those that came are answered."""
        if self.idle:
            self.close()

    @abstractmethod
    def close(self) -> None:
        """Close when what was written has been sent."""

    @abstractmethod
    def abort(self) -> None:
        """Close now."""


class Host(ABC):
    """A door, as the connections behind it see it.

    Attributes:
        loop: the event loop.
        http: what serves HTTP, or None.
        rpc: what serves gRPC, or None.
        retiring: whether connections close after what is being answered.
    """

    loop: asyncio.AbstractEventLoop
    http: HttpTransport | None
    rpc: RpcTransport | None
    retiring: bool

    @abstractmethod
    def opened(self, guest: Guest) -> None:
        """Know a connection."""

    @abstractmethod
    def lost(self, guest: Guest) -> None:
        """Forget a connection."""

    @abstractmethod
    def send_later(self, guest: Guest) -> None:
        """Have a connection send at the end of this turn of the loop."""

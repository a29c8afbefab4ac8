"""A connection, as its door sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Guest"]


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

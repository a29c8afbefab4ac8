"""The end of a connection in good order (RFC 9113, section 6.8).

When a client learns that the connection ends, requests of it may be under way that nobody here has seen. So it is asked first to
begin no more of them, and is told only when it knows of that which one is the last: none is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_transport_lean.http2.frames import MAX_STREAM, ErrorCode, go_away, ping

if TYPE_CHECKING:
    import asyncio

    from charonia_transport_lean.http2.stream import Line

__all__ = ["FAREWELL_PING", "Farewell"]

FAREWELL_PING = b"farewell"
"""Whoever answers a ping with this has read what came before it."""

_ANSWER_SECONDS = 1.0
"""How long the answer is awaited."""


class Farewell:
    """Says farewell.

    Args:
        connection: the connection that ends.

    Attributes:
        last: the last stream that counts; None until the client has been told.
    """

    __slots__ = ("_connection", "_waiting", "last")

    def __init__(self, connection: Line) -> None:
        self._connection = connection
        self._waiting: asyncio.TimerHandle | None = None
        self.last: int | None = None

    def announce(self) -> None:
        """Ask the client to begin no more streams, and part when it knows, or has had some time to do so."""
        if self._waiting is None and self.last is None:
            self._waiting = self._connection.loop.call_later(_ANSWER_SECONDS, self._connection.part)
            self._connection.put(go_away(MAX_STREAM, ErrorCode.NO_ERROR) + ping(FAREWELL_PING, ack=False))

    def known(self) -> None:
        """Take note that the client knows; whoever says so without having been asked is not heard."""
        if self._waiting is not None:
            self._connection.part()

    def say(self, code: ErrorCode, text: str = "") -> None:
        """Tell the client which stream is the last one that counts, and why the connection ends."""
        self.stop()
        if self.last is None:  # it may not become a later one
            self.last = self._connection.last
        self._connection.put(go_away(self.last, code, text))

    def stop(self) -> None:
        """Wait for no answer any more."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

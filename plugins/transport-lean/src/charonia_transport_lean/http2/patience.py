"""How long a connection has patience with its streams' clients: for the rest of a request, and for the reading of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_transport_lean.pace import credited

if TYPE_CHECKING:
    from collections.abc import Collection

    from charonia_transport_lean.http2.stream import Stream

__all__ = ["Patience"]

_PATIENCE_SECONDS = 60.0
"""How far a client may fall behind the pace."""


class Patience:
    """Finds the streams whose clients do not go on. Nothing is noted of those that never wait."""

    __slots__ = ("_sent", "_waiting")

    def __init__(self) -> None:
        self._sent = 0
        self._waiting: dict[
            int, tuple[float, int]
        ] = {}  # by stream: from when its clock runs, and what was unsent then

    def sent(self, size: int) -> None:
        """Take note that so much of what waited has been sent, in bytes, of whichever stream."""
        self._sent += size

    def lost(self, streams: Collection[Stream], now: float) -> list[Stream]:
        """Give the streams with which patience is lost; to be asked now and then."""
        sent, self._sent = self._sent, 0
        self._waiting = {stream.number: self._look(stream, sent, now) for stream in streams if stream.unsent}
        late = now - _PATIENCE_SECONDS
        return [stream for stream in streams if self._is_late(stream, late)]

    def _look(self, stream: Stream, sent: int, now: float) -> tuple[float, int]:
        """Let a stream's clock go on from later for what was read: of it, or of all where its own window does not hold it up."""
        since, unsent = self._waiting.get(stream.number, (now, stream.unsent_bytes))
        read = unsent - stream.unsent_bytes if stream.window <= 0 else sent
        return credited(since, read, now), stream.unsent_bytes

    def _is_late(self, stream: Stream, late: float) -> bool:
        if stream.unsent and self._waiting[stream.number][0] < late:
            return True
        return not stream.half_closed and not stream.exchange.patient and stream.touched < late

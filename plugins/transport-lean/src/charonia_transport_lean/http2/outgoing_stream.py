"""The sending half of a stream: what waits of it, and how much its client takes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from charonia_transport_lean.http2.header_blocks import Headers

__all__ = ["OutgoingStream"]


class OutgoingStream:
    """The sending half of a stream.

    Attributes:
        number: the stream's number.
        window: how much its client lets it send; may be negative.
        unsent: what waits.
        unsent_bytes: how much that is.
        trailers: the fields that end it, once they are known; empty where the data's last frame does. `varying` likewise.
        varying: those of them that differ from answer to answer.
        ending: whether nothing more comes.
        ended: whether its end has been sent, or it was reset.
        waiting: whether it is among those that take turns.
        room: what is done when nothing of it waits any more, or None where nobody asks.
    """

    __slots__ = (
        "ended",
        "ending",
        "number",
        "room",
        "trailers",
        "unsent",
        "unsent_bytes",
        "varying",
        "waiting",
        "window",
    )

    def __init__(self, number: int, window: int) -> None:
        self.number = number
        self.window = window
        self.unsent: deque[memoryview] = deque()
        self.unsent_bytes = 0
        self.trailers: Headers = ()
        self.varying: Headers = ()
        self.ending = False
        self.ended = False
        self.waiting = False
        self.room: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Let go on who waits until nothing of it waits any more."""
        room, self.room = self.room, None
        if room is not None and not room.done():
            room.set_result(None)

"""A stream of HTTP/2 with both halves, and the exchange that takes place on it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

from charonia_transport_lean.eager import run
from charonia_transport_lean.http2.outgoing_stream import OutgoingStream

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from charonia_transport_lean.eager import Progress
    from charonia_transport_lean.http2.frames import ErrorCode
    from charonia_transport_lean.http2.outflow import Outflow
    from charonia_transport_lean.http2.request_head import RequestHead

__all__ = ["OVER", "Exchange", "Line", "Opener", "Stream"]

_log = logging.getLogger("charonia.transport_lean.http2.stream")


class Stream(OutgoingStream):
    """A stream.

    Attributes:
        head: the head of its request.
        credit: how much its client may still send, in bytes.
        received: how much of the body has come, where its length was said.
        unread: how much of it waits to be taken.
        half_closed: whether the client sends nothing more.
        touched: from when the client is waited for to go on with its request, in the loop's seconds.
        exchange: what takes place on it.
    """

    __slots__ = ("credit", "exchange", "half_closed", "head", "received", "touched", "unread")

    def __init__(self, number: int, window: int, credit: int, head: RequestHead, now: float) -> None:
        super().__init__(number, window)
        self.head = head
        self.credit = credit
        self.received = 0
        self.unread = 0
        self.half_closed = False
        self.touched = now
        self.exchange: Exchange


class Line(ABC):
    """A connection, as its parts and the exchanges on it see it.

    Attributes:
        loop: the event loop.
        outflow: what is sent.
        streams: the streams that are open, by number.
        last: the number of the last stream that was opened.
    """

    loop: asyncio.AbstractEventLoop
    outflow: Outflow
    streams: dict[int, Stream]
    last: int

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether it waits for a request."""

    @abstractmethod
    def put(self, data: bytes) -> None:
        """Have something sent at the end of the loop's turn, together with what comes until then, or now if it is much."""

    @abstractmethod
    def ping(self, payload: bytes) -> None:
        """Ask whether the client is there."""

    @abstractmethod
    def finish(self, stream: Stream) -> None:
        """Take note that a request is whole.

        Raises:
            StreamFault: its body is shorter than it was said to be.
        """

    @abstractmethod
    def consumed(self, stream: Stream) -> None:
        """Let a stream's client send on, after what it has sent was taken."""

    @abstractmethod
    def sent_data(self) -> None:
        """Take note that an answer goes on."""

    @abstractmethod
    def spend_upkeep(self, what: str) -> None:
        """Take note of a frame that brings nothing.

        Raises:
            ConnectionFault: there are too many of them.
        """

    @abstractmethod
    def taken_back(self, number: int) -> None:
        """Take note that the client has reset a stream."""

    @abstractmethod
    def reset_stream(self, number: int, code: ErrorCode) -> None:
        """End a stream whose client has broken a rule."""

    @abstractmethod
    def break_stream(self, stream: Stream) -> None:
        """End a stream because of a fault of ours."""

    @abstractmethod
    def retire(self) -> None:
        """Have the client begin no more requests, and close when those that came have ended."""

    @abstractmethod
    def part(self) -> None:
        """Tell the client which requests count, and close when they have ended."""

    @abstractmethod
    def abort(self) -> None:
        """Close now."""


Opener: TypeAlias = "Callable[[Line, Stream], Exchange]"
"""Begins the exchange for a request whose head is known."""


class Exchange(ABC):
    """A request and its answer. All methods belong to the event loop.

    Args:
        connection: the connection.
        stream: its stream there.
    """

    __slots__ = ("_connection", "_stream", "_task")

    def __init__(self, connection: Line, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._task: Progress[None] | None = None

    @property
    def patient(self) -> bool:
        """Whether the client may take its time with the body."""
        return False

    @abstractmethod
    def data(self, payload: memoryview) -> None:
        """Take a piece of the body, which holds only until this returns."""

    def place(self) -> memoryview | None:
        """Give where the next bytes of the body belong, if that is known."""
        return None

    def placed(self, size: int) -> None:
        """Take note that so many bytes have been put where `place` said."""
        raise NotImplementedError

    @abstractmethod
    def finish(self) -> None:
        """The body is whole."""

    def leave(self) -> None:
        """The server is about to stop: end soon, if this has no end of its own."""

    def abandon(self) -> None:
        """The client does not want the answer any more, or has gone."""
        if self._task is not None:
            self._task.cancel()

    # -- for those that answer

    def _run(self, begun: Coroutine[Any, Any, None]) -> None:
        """Run what answers: at once, as far as it needs not wait, and the rest in a task."""
        try:
            self._task = run(self._connection.loop, begun)
        except Exception as error:  # noqa: BLE001 - the application's promise broken
            self._broken(error)
        else:
            if self._task is not None:
                self._task.add_done_callback(self._ran)

    def _ran(self, task: Progress[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken(error)

    def _broken(self, error: BaseException) -> None:
        """Survive a fault of ours: only this stream ends."""
        _log.error("failed to answer a request", exc_info=error)
        self._connection.break_stream(self._stream)


class _Over(Exchange):
    """An exchange that is over. What still comes for it is dropped."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    def data(self, payload: memoryview) -> None:
        """Drop it."""

    def finish(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""


OVER = _Over()
"""Stands in a stream for its exchange when that is over: they would keep each other alive until garbage is collected."""

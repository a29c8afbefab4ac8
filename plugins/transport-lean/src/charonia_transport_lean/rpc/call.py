"""What calls of both kinds have in common: their messages, their deadline, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_transport_lean.http2.stream import Exchange
from charonia_transport_lean.rpc.call_head import TOO_LATE
from charonia_transport_lean.rpc.messages import MessageReader
from charonia_transport_lean.rpc.status import refusal_fields, status_fields, status_of

if TYPE_CHECKING:
    import asyncio

    from charonia.rpc import RpcStatus

    from charonia_transport_lean.http2.stream import Line, Stream
    from charonia_transport_lean.rpc.call_head import CallHead

__all__ = ["Call"]


class Call(Exchange):
    """A call.

    Args:
        head: what is known of it by its head.
        connection: its connection.
        stream: its stream there.
    """

    __slots__ = ("_head", "_head_sent", "_reader", "_timer")

    def __init__(self, head: CallHead, connection: Line, stream: Stream) -> None:
        super().__init__(connection, stream)
        self._head = head
        self._reader = MessageReader(head.settings.check_size)
        self._head_sent = False
        self._timer: asyncio.TimerHandle | None = None

    def place(self) -> memoryview | None:
        """Give where the rest of a large message belongs."""
        return self._reader.place()

    def abandon(self) -> None:
        """Take it back: the client has gone, or given up."""
        self._stop_clock()
        super().abandon()

    # -- the deadline

    def _start_clock(self) -> None:
        """Have the call end when its client gives up."""
        if self._head.timeout is not None and self._timer is None and not self._stream.ended:
            self._timer = self._connection.loop.call_later(self._head.timeout, self._expire)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._end(TOO_LATE)
        self.abandon()

    # -- the end

    def _fail(self, error: Exception) -> None:
        self._end(status_of(self._head.application, error))

    def _end(self, status: RpcStatus) -> None:
        """End the call with a status. What waits to be sent before it is sent before it."""
        self._stop_clock()
        if self._head_sent:
            self._connection.outflow.end(self._stream, (), status_fields(status))
        else:
            self._connection.outflow.head(self._stream, *refusal_fields(status), end=True)

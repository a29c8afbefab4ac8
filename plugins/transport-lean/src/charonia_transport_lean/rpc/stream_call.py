"""A call with messages both ways."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from charonia.errors import InferenceError, UnavailableError
from charonia.rpc import LEAVING, StreamMethod

from charonia_transport_lean.eager import run
from charonia_transport_lean.rpc.call import Call
from charonia_transport_lean.rpc.compression import compress, decompress
from charonia_transport_lean.rpc.messages import message_prefix
from charonia_transport_lean.rpc.status import OK_HEAD, OK_TRAILERS

if TYPE_CHECKING:
    from charonia.rpc import RpcStream

    from charonia_transport_lean.eager import Progress
    from charonia_transport_lean.http2.stream import Line, Stream
    from charonia_transport_lean.rpc.call_head import CallHead

__all__ = ["StreamCall"]


class StreamCall(Call):
    """Passes messages to the application while it has room for them, and what it answers to the client while that reads."""

    __slots__ = ("_finished", "_open", "_reading", "_unread")

    def __init__(self, head: CallHead, connection: Line, stream: Stream) -> None:
        super().__init__(head, connection, stream)
        method = head.method
        assert isinstance(method, StreamMethod)  # noqa: S101 - else nobody would have opened this
        self._open: RpcStream = method.open(head.metadata)
        self._finished = False
        # What waits for room waits as it came, which is the least that it can take.
        self._unread: deque[bytes] = deque()
        self._reading: Progress[None] | None = None
        self._task = connection.loop.create_task(self._send_all())
        self._task.add_done_callback(self._ran)
        self._start_clock()

    @property
    def patient(self) -> bool:
        """A client may take its time between messages, though not within one."""
        return not self._reader.amid or self._reading is not None

    # -- what comes

    def data(self, payload: memoryview) -> None:
        """Take a piece of a message."""
        if self._reading is not None:
            self._unread.append(bytes(payload))
            return
        self._reader.feed(payload)
        self._pass_on()

    def place(self) -> memoryview | None:
        """Give where the rest of a large message belongs, unless something before it is unread."""
        return None if self._reading is not None else super().place()

    def placed(self, size: int) -> None:
        """Take note of bytes in their place."""
        self._reader.placed(size)
        self._pass_on()

    def finish(self) -> None:
        """Take note that no more messages come."""
        self._finished = True
        self._pass_on()

    def _pass_on(self) -> None:
        """Pass on what has come, as far as the application has room; the rest when it has."""
        if self._reading is not None:
            return
        self._reading = run(self._connection.loop, self._read_all())
        if self._reading is not None:
            self._reading.add_done_callback(self._read)

    async def _read_all(self) -> None:
        messages, unread = self._reader.messages, self._unread
        while messages or unread:
            if not messages:
                self._reader.feed(memoryview(unread.popleft()))
                continue
            await self._open.wait_for_room()
            message = messages.popleft()
            if isinstance(message, InferenceError):
                self._open.refuse(message)
                continue
            data, compressed = message
            if compressed:
                try:
                    data = await decompress(data, self._head.encoding, self._head.settings)
                except InferenceError as error:
                    self._open.end(error)
                    return
            self._open.receive(data)
        if self._finished:
            self._open.end()
        else:
            self._connection.consumed(self._stream)

    def _read(self, task: Progress[None]) -> None:
        self._reading = None
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self._ran(task)
            elif self._reader.messages or self._unread or self._finished:
                self._pass_on()

    # -- what goes

    async def _send_all(self) -> None:
        connection, stream = self._connection, self._stream
        outflow, encoding = connection.outflow, self._head.answers
        try:
            while (message := await self._open.next()) is not None:
                if encoding:
                    message = await compress(message, encoding, self._head.settings.compression)
                if not self._head_sent:
                    self._head_sent = True
                    outflow.head(stream, (*OK_HEAD, ("grpc-encoding", encoding)) if encoding else OK_HEAD)
                outflow.data(stream, message_prefix(len(message), compressed=bool(encoding)), message)
                connection.sent_data()
                if stream.unsent or outflow.paused:
                    await outflow.wait_for_room(stream)
        except InferenceError as error:
            self._fail(error)
        else:
            self._end_well()
        finally:
            self._open.close()
            if self._reading is not None:
                self._reading.cancel()

    def _end_well(self) -> None:
        self._stop_clock()
        outflow = self._connection.outflow
        if not self._head_sent:
            outflow.head(self._stream, OK_HEAD)
        outflow.end(self._stream, OK_TRAILERS)

    def leave(self) -> None:
        """End when what was asked is answered."""
        self._open.end(UnavailableError(LEAVING))

    def abandon(self) -> None:
        """Take back what is not answered."""
        super().abandon()
        self._open.close()
        if self._reading is not None:
            self._reading.cancel()

"""What a connection sends, within the windows that its client opens (RFC 9113, sections 5.2 and 6.9).

Small answers that fit are written at once. The rest waits with its stream, and streams that wait take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from charonia_transport_lean.http2.frames import (
    END_HEADERS,
    END_STREAM,
    HEAD,
    LARGEST_WINDOW,
    ConnectionFault,
    ErrorCode,
    FrameType,
    StreamFault,
    frame_head,
)
from charonia_transport_lean.http2.header_blocks import HeaderEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charonia_transport_lean.http2.header_blocks import Headers
    from charonia_transport_lean.http2.outgoing_stream import OutgoingStream

__all__ = ["TURN", "Outflow"]

_LEAST_FRAME = 16_384
_FIRST_WINDOW = 65_535
TURN = 1_081_344
"""How much one stream may send before another one's turn comes, in bytes: a tensor of 1 MiB with what stands around it. While the
socket takes nothing, no more data than that waits in it."""

_LARGE = 32_768
"""From so many bytes on, what is sent is not copied together with its heads."""

_DATA, _HEADERS = int(FrameType.DATA), int(FrameType.HEADERS)


class Outflow:
    """Writes frames.

    Args:
        write: takes bytes for the client, to be sent at the end of the loop's turn.
        write_large: takes bytes for the client, to be sent now without copying them together.
        finished: is told of a stream whose end has been sent.
        progressed: is told how much data has been sent, in bytes, wherever an answer is not sent as a whole.

    Attributes:
        window: how much the client lets the connection send.
        first_window: the window with which streams begin.
        largest_frame: the largest payload that the client takes.
        unsent_bytes: how much waits for windows.
        paused: whether the socket takes nothing.
    """

    __slots__ = (
        "_encoder",
        "_finished",
        "_progressed",
        "_queue",
        "_write",
        "_write_large",
        "first_window",
        "largest_frame",
        "paused",
        "unsent_bytes",
        "window",
    )

    def __init__(
        self,
        write: Callable[[bytes], None],
        write_large: Callable[[list[bytes | memoryview]], None],
        finished: Callable[[OutgoingStream], None],
        progressed: Callable[[int], None],
    ) -> None:
        self._write = write
        self._write_large = write_large
        self._finished = finished
        self._progressed = progressed
        self._encoder = HeaderEncoder()
        self._queue: deque[OutgoingStream] = deque()
        self.window = self.first_window = _FIRST_WINDOW
        self.largest_frame = _LEAST_FRAME
        self.unsent_bytes = 0
        self.paused = False

    # -- what streams send

    def answer(
        self, stream: OutgoingStream, fields: Headers, parts: tuple[bytes | memoryview, ...], trailers: Headers
    ) -> None:
        """Send a whole answer with its head, some data, and trailers."""
        if stream.ended:
            return
        size = 0
        for part in parts:
            size += len(part)
        window = min(stream.window, self.window)
        if size > window or size > self.largest_frame or size > _LARGE or self._queue or self.paused:
            self.head(stream, fields)
            stream.ending, stream.trailers = True, trailers
            self.data(stream, *parts)
            return
        number = stream.number
        stream.window -= size
        self.window -= size
        head, tail = self._encoder.encode(fields), self._encoder.encode(trailers)
        self._write(
            b"".join(
                (
                    HEAD.pack(len(head) << 8 | _HEADERS, END_HEADERS, number),
                    head,
                    HEAD.pack(size << 8, 0, number),  # of DATA, whose number is 0
                    *parts,
                    HEAD.pack(len(tail) << 8 | _HEADERS, END_HEADERS | END_STREAM, number),
                    tail,
                )
            )
        )
        self._end(stream)

    def head(self, stream: OutgoingStream, fields: Headers, varying: Headers = (), *, end: bool = False) -> None:
        """Send the head of an answer."""
        if stream.ended:
            return
        self._write(self._block(stream.number, fields, varying, end=end))
        if end:
            self._end(stream)

    def data(self, stream: OutgoingStream, *parts: bytes | memoryview) -> None:
        """Send data, or have it wait."""
        if stream.ended:
            return
        for part in parts:
            if part:
                stream.unsent.append(memoryview(part))
                stream.unsent_bytes += len(part)
                self.unsent_bytes += len(part)
        self._wait(stream)
        self.flush()

    def end(self, stream: OutgoingStream, trailers: Headers = (), varying: Headers = ()) -> None:
        """End a stream after its data, with trailers if there are any."""
        if stream.ending or stream.ended:
            return
        stream.ending, stream.trailers, stream.varying = True, trailers, varying
        self._wait(stream)
        self.flush()

    async def wait_for_room(self, stream: OutgoingStream) -> None:
        """Wait until nothing of the stream waits any more, and the socket takes something."""
        while (stream.unsent or self.paused) and not stream.ended:
            self._wait(stream)
            stream.room = asyncio.get_running_loop().create_future()
            await stream.room

    def drop(self, stream: OutgoingStream) -> None:
        """Forget what waits: the stream was reset."""
        stream.ended = True
        self.unsent_bytes -= stream.unsent_bytes
        stream.unsent.clear()
        stream.unsent_bytes = 0
        stream.wake()

    # -- what the client allows

    def widen(self, size: int) -> None:
        """Let the connection send more.

        Raises:
            ConnectionFault: the window would be larger than any can be.
        """
        self.window += size
        if self.window > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")
        self.flush()

    def widen_stream(self, stream: OutgoingStream, size: int) -> None:
        """Let a stream send more.

        Raises:
            StreamFault: the window would be larger than any can be.
        """
        stream.window += size
        if stream.window > LARGEST_WINDOW:
            raise StreamFault(stream.number, ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is too large")
        if stream.unsent:
            self._wait(stream)
            self.flush()

    def resize_windows(self, size: int, streams: Iterable[OutgoingStream]) -> None:
        """Take over with which window streams begin; those that have begun get the difference.

        Nothing is sent in it yet: a client counts on larger windows only when it has read that they are known here.

        Raises:
            ConnectionFault: a stream's window would be larger than any can be.
        """
        difference = size - self.first_window
        if not difference:
            return
        self.first_window = size
        for stream in streams:
            stream.window += difference
            if stream.window > LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
            if stream.unsent:
                self._wait(stream)

    def limit_table(self, size: int) -> None:
        """Take over how large a table of fields the client keeps."""
        self._encoder.limit_table(size)

    def limit_frame(self, size: int) -> None:
        """Take over how large frames may be."""
        self.largest_frame = size

    def pause(self) -> None:
        """Write nothing more: the client does not read."""
        self.paused = True

    def resume(self) -> None:
        """Write again."""
        self.paused = False
        self.flush()

    # -- sending what waits

    def flush(self) -> None:
        """Send what the windows and the socket allow, each stream in its turn."""
        queue = self._queue
        while queue and not self.paused:
            stream = queue.popleft()
            stream.waiting = False
            if stream.ended:
                continue
            self._send_turn(stream)
            if not stream.unsent:
                stream.wake()
            elif stream.window > 0:  # else it waits for its own window, which puts it here again
                stream.waiting = True
                if self.window <= 0:
                    queue.appendleft(stream)
                    return
                queue.append(stream)

    def _wait(self, stream: OutgoingStream) -> None:
        if not stream.waiting:
            stream.waiting = True
            self._queue.append(stream)

    def _send_turn(self, stream: OutgoingStream) -> None:
        before = stream.unsent_bytes
        pieces = self._frames(stream, min(stream.window, self.window, TURN))
        sent = before - stream.unsent_bytes
        stream.window -= sent
        self.window -= sent
        self.unsent_bytes -= sent
        if sent >= _LARGE:
            self._write_large(pieces)
        elif pieces:
            self._write(b"".join(pieces))
        if sent:
            self._progressed(sent)
        if stream.ending and not stream.unsent:
            self._end(stream)

    def _frames(self, stream: OutgoingStream, allowed: int) -> list[bytes | memoryview]:
        """Take so much of what waits, in frames; with its end, if nothing waits after that."""
        pieces: list[bytes | memoryview] = []
        unsent = stream.unsent
        plain_end = stream.ending and not stream.trailers and not stream.varying
        while unsent and allowed > 0:
            most = min(self.largest_frame, allowed)
            if len(unsent[0]) > most:
                allowed -= self._whole_frames(stream, most, allowed, pieces)
                continue
            frame: list[memoryview] = []
            size = 0
            while unsent and size < most:
                part = unsent[0]
                taken = min(len(part), most - size)
                frame.append(part[:taken])
                size += taken
                if taken == len(part):
                    unsent.popleft()
                else:
                    unsent[0] = part[taken:]
            allowed -= size
            stream.unsent_bytes -= size
            last = END_STREAM if plain_end and not unsent else 0
            pieces.append(frame_head(size, _DATA, last, stream.number))
            pieces += frame
        if stream.ending and not unsent and not (plain_end and pieces):
            pieces.append(self._closing(stream))
        return pieces

    def _whole_frames(self, stream: OutgoingStream, most: int, allowed: int, pieces: list[bytes | memoryview]) -> int:
        """Take frames alike from a part that is larger than one of them; all but its last one, which other parts may fill up."""
        part = stream.unsent[0]
        size = min(len(part) - 1, allowed) // most * most
        head = frame_head(most, _DATA, 0, stream.number)
        for at in range(0, size, most):
            pieces += (head, part[at : at + most])
        stream.unsent[0] = part[size:]
        stream.unsent_bytes -= size
        return size

    def _closing(self, stream: OutgoingStream) -> bytes:
        """Write the frame that ends a stream whose last data does not."""
        if stream.trailers or stream.varying:
            return self._block(stream.number, stream.trailers, stream.varying, end=True)
        return frame_head(0, _DATA, END_STREAM, stream.number)

    def _block(self, number: int, fields: Headers, varying: Headers, *, end: bool) -> bytes:
        block = self._encoder.encode(fields, *varying)
        last = END_STREAM if end else 0
        if len(block) <= self.largest_frame:
            return frame_head(len(block), _HEADERS, END_HEADERS | last, number) + block
        pieces = [block[at : at + self.largest_frame] for at in range(0, len(block), self.largest_frame)]
        frames = [frame_head(len(pieces[0]), _HEADERS, last, number) + pieces[0]]
        for place, piece in enumerate(pieces[1:], 2):
            flags = END_HEADERS if place == len(pieces) else 0
            frames.append(frame_head(len(piece), FrameType.CONTINUATION, flags, number) + piece)
        return b"".join(frames)

    def _end(self, stream: OutgoingStream) -> None:
        stream.ended = True
        self._finished(stream)

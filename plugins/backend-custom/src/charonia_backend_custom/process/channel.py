"""Frames of bytes over a socket between two processes of one machine, each perhaps with a file descriptor."""

from __future__ import annotations

import array
import logging
import os
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Channel"]

_log = logging.getLogger("charonia.backend_custom.process.channel")

_HEAD = struct.Struct("<Q?")
"""A frame's size, and whether a descriptor comes with it."""

_ROOM = 1 << 16
_LARGEST = 1 << 40
"""No frame has so many bytes."""

_ANCILLARY = socket.CMSG_SPACE(array.array("i").itemsize)
_WAITING = int(socket.MSG_CMSG_CLOEXEC)
_AT_ONCE = int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)


class Channel:
    """Sends and receives frames. One thread may send while another one receives; `close` ends both.

    What has come is read at once, however many frames it is: a system call costs as much as a small frame's whole content.

    Args:
        connection: a stream socket of the Unix family; the channel's own from now on.

    Attributes:
        given_up: whether what came made no sense.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = memoryview(bytearray(_ROOM))
        self._begin = self._end = 0  # what has come and is not given out yet, in the buffer
        self._descriptors: deque[int] = deque()
        self.given_up = False

    def send(self, frame: bytes, descriptor: int | None = None) -> None:
        """Send a frame, with a descriptor if one is given, which stays the caller's. Blocks until the system has taken it.

        Raises:
            OSError: the other side has gone.
        """
        data = _HEAD.pack(len(frame), descriptor is not None) + frame
        if descriptor is None:
            self._connection.sendall(data)
            return
        sent = socket.send_fds(self._connection, [data], [descriptor])
        self._connection.sendall(data[sent:])

    def receive(self, on_pause: Callable[[], object]) -> tuple[memoryview, int | None]:
        """Wait for a frame, and give it with its descriptor, which is the caller's to close. It is valid until the next call.

        Args:
            on_pause: called first if the frame has not come yet as a whole.

        Raises:
            EOFError: the other side has gone, or this one was closed.
        """
        frame = self._next()
        if frame is None:
            on_pause()
        while frame is None:
            self._fill()
            frame = self._next()
        return frame

    def arrived(self) -> list[tuple[memoryview, int | None]]:
        """Read once, without waiting, and give the frames that are whole by then; as `receive`, whose errors it raises."""
        frame = self._next()
        if frame is None:
            self._fill(_AT_ONCE)
            frame = self._next()
        frames = []
        while frame is not None:
            frames.append(frame)
            frame = self._next()
        return frames

    def _next(self) -> tuple[memoryview, int | None] | None:
        """Give the next frame, if it has come as a whole."""
        start = self._begin + _HEAD.size
        if self._end < start:
            return None
        size, described = _HEAD.unpack_from(self._buffer, self._begin)
        if size > _LARGEST:
            raise self.give_up()
        if self._end < start + size:
            return None
        self._begin = start + size
        return self._buffer[start : self._begin], self._descriptors.popleft() if described else None

    def _needed(self) -> int:
        """Tell how many bytes the next frame has with its head; the head's, as long as it has not come."""
        if self._end - self._begin < _HEAD.size:
            return _HEAD.size
        size: int = _HEAD.unpack_from(self._buffer, self._begin)[0]
        return _HEAD.size + size

    def _fill(self, flags: int = _WAITING) -> None:
        """Read as many bytes as there are and fit; none only where the flags say that it does not wait for any."""
        self._make_room()
        try:
            count, ancillary, _, _ = self._connection.recvmsg_into([self._buffer[self._end :]], _ANCILLARY, flags)
        except BlockingIOError:
            return
        except OSError as error:
            raise EOFError from error
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._descriptors.extend(array.array("i", data))
        if not count:
            raise EOFError
        self._end += count

    def _make_room(self) -> None:
        """See to it that the rest of the next frame fits. A buffer that was made for a large one is not kept."""
        rest = self._buffer[self._begin : self._end]
        if not rest and len(self._buffer) == _ROOM:
            self._begin = self._end = 0
            return
        needed = self._needed() if rest else _ROOM
        if not rest or self._begin + needed > len(self._buffer):
            self._buffer = memoryview(bytearray(max(_ROOM, needed)))
            self._buffer[: len(rest)] = rest
            self._begin, self._end = 0, len(rest)

    def give_up(self) -> EOFError:
        """End both directions, since what comes makes no sense. Gives the error that tells of it."""
        _log.error(
            "what comes from another process makes no sense, so that its line is closed: a model must neither close nor write to "
            "descriptors that it has not opened"
        )
        self.given_up = True
        self.shut_down()
        return EOFError("what comes makes no sense")

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        return self._connection.fileno()

    def shut_down(self) -> None:
        """End both directions, so that whoever waits in `receive`, here or there, gets an EOFError. Idempotent."""
        with suppress(OSError):  # the other side was first
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket. Nobody sends or receives any more."""
        self._connection.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

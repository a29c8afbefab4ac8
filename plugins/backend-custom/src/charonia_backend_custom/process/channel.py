"""Frames of bytes over a socket between two processes of one machine, each perhaps with a file descriptor."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

__all__ = ["Channel"]

_HEAD = struct.Struct("<Q")


class Channel:
    """Sends and receives frames. One thread may send while another one receives; `close` ends both.

    Args:
        connection: a stream socket of the Unix family; the channel's own from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, frame: bytes, descriptor: int | None = None) -> None:
        """Send a frame, with a descriptor if one is given, which stays the caller's. Blocks until the system has taken it.

        Raises:
            OSError: the other side has gone.
        """
        data = _HEAD.pack(len(frame)) + frame
        if descriptor is None:
            self._connection.sendall(data)
            return
        sent = socket.send_fds(self._connection, [data], [descriptor])
        self._connection.sendall(data[sent:])

    def receive(self) -> tuple[bytearray, int | None]:
        """Wait for a frame, and give it with its descriptor, which is the caller's to close.

        Raises:
            EOFError: the other side has gone, or this one was closed.
        """
        head, descriptors = self._receive_start()
        try:
            head += self._exactly(_HEAD.size - len(head))
            frame = self._exactly(_HEAD.unpack(head)[0])
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return frame, descriptors[0] if descriptors else None

    def _receive_start(self) -> tuple[bytearray, list[int]]:
        try:
            start, descriptors, _, _ = socket.recv_fds(self._connection, _HEAD.size, 1)
        except OSError as error:
            raise EOFError from error
        if not start:
            raise EOFError
        return bytearray(start), descriptors

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        missing = memoryview(data)
        while missing:
            try:
                count = self._connection.recv_into(missing)
            except OSError as error:
                raise EOFError from error
            if not count:
                raise EOFError
            missing = missing[count:]
        return data

    def shut_down(self) -> None:
        """End both directions, so that whoever waits in `receive`, here or there, gets an EOFError. Idempotent."""
        with suppress(OSError):  # the other side was first
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket. Nobody sends or receives any more."""
        self._connection.close()

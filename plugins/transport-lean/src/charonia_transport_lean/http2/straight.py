"""Reading from a connection's socket past the event loop, which knows one place at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from charonia_transport_lean.http2.frame_reader import FrameReader

__all__ = ["Straight", "straight"]

_RUNS_IN_A_TURN = 4


class Straight:
    """A socket with nothing between it and the protocol, which waits for nothing. It may be read where its protocol is called.

    Args:
        transport: whose socket it is.
        file: its descriptor.
    """

    __slots__ = ("_file", "_transport")

    def __init__(self, transport: asyncio.BaseTransport, file: int) -> None:
        self._transport = transport
        self._file = file

    def read_runs(self, reader: FrameReader) -> None:
        """Read frames alike as they lie there; the loop would read them into a single place, to be copied from there.

        Raises:
            ConnectionFault: they break a rule of the connection.
        """
        for _ in range(_RUNS_IN_A_TURN):
            places = reader.run()
            if not places or self._transport.is_closing():  # then the descriptor may be another's
                return
            size = self.read(places)
            if not size or not reader.ran(size):
                return

    def read(self, places: Sequence[memoryview]) -> int:
        """Read what has come into places, one after the other. Gives how many bytes.

        These are none, too, where the connection has ended or broken: the loop gets to know of it when it reads itself.
        """
        try:
            return os.readv(self._file, places)
        except OSError:
            return 0


def straight(transport: asyncio.BaseTransport) -> Straight | None:
    """Give a transport's socket, if what comes from it is what the protocol gets: not with TLS."""
    socket = transport.get_extra_info("socket")
    if socket is None or transport.get_extra_info("ssl_object") is not None or not hasattr(os, "readv"):
        return None
    return Straight(transport, socket.fileno())

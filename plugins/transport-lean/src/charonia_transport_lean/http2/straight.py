"""Reading from a connection's socket past the event loop, which knows one place at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

__all__ = ["Straight", "straight"]


class Straight:
    """A socket with nothing between it and the protocol, which waits for nothing.

    It may be read where its protocol is called, and is not to be read any more once the connection has ended.

    Args:
        file: its descriptor.
    """

    __slots__ = ("_file",)

    def __init__(self, file: int) -> None:
        self._file = file

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
    return Straight(socket.fileno())

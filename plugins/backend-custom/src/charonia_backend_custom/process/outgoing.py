"""What one side of the line sends: frames in one order, and the blocks of shared memory that they name."""

from __future__ import annotations

import pickle
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from charonia_backend_custom.process.carrier import TensorCarrier
from charonia_backend_custom.process.messages import NewBlock, Plain, plain

if TYPE_CHECKING:
    from collections import deque

    from charonia_backend_custom.process.blocks import BlockPool, BlockViews
    from charonia_backend_custom.process.channel import Channel

__all__ = ["ANSWER", "QUESTION", "TOLD", "Outgoing"]

TOLD, QUESTION, ANSWER = range(3)
"""The kinds of frames."""


class Outgoing:
    """The sending end of a channel. Any thread may send.

    Args:
        channel: what carries the frames.
        pool: the blocks of this side.
        views: those of the other side.
        later: messages that go with the next frame; anybody may add to them at any moment.

    Attributes:
        carrier: makes tensors into parts of messages that go over this channel, and back.
    """

    def __init__(self, channel: Channel, pool: BlockPool, views: BlockViews, later: deque[Any]) -> None:
        self._channel = channel
        self._later = later
        self._sending = threading.Lock()  # held while one frame is sent
        self.carrier = TensorCarrier(pool, views, self._announce)

    def send(self, kind: int, number: int, body: Any) -> None:
        """Send a frame. It is lost where the other side has gone."""
        with self._sending:
            self._send(kind, number, body)

    def send_later_ones(self) -> None:
        """Send what waits for the next frame, unless somebody is just sending one."""
        if self._sending.acquire(blocking=False):
            try:
                self._send(TOLD, 0, None)
            finally:
                self._sending.release()

    def _send(self, kind: int, number: int, body: Any, descriptor: int | None = None) -> None:
        frame = pickle.dumps((kind, number, body, self._taken_later()), pickle.HIGHEST_PROTOCOL)
        with suppress(OSError):  # whoever reads notices the end, too, and acts on it
            self._channel.send(frame, descriptor)

    def _taken_later(self) -> list[Plain]:
        taken: list[Plain] = []
        with suppress(IndexError):
            while self._later:
                taken.append(plain(self._later.popleft()))
        return taken

    def _announce(self, number: int, size: int, kept: bool, descriptor: int) -> None:  # noqa: FBT001 - a block's facts
        with self._sending:
            self._send(TOLD, 0, plain(NewBlock(number, size, kept)), descriptor)

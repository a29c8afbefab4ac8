"""What one side of the line sends: messages in one order, and the blocks of shared memory that they name."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from charonia_backend_custom.process.carrier import TensorCarrier
from charonia_backend_custom.process.messages import NewBlock, plain

if TYPE_CHECKING:
    from charonia_backend_custom.process.blocks import BlockPool, BlockViews
    from charonia_backend_custom.process.channel import Channel
    from charonia_backend_custom.process.last_words import LastWords

__all__ = ["ANSWER", "QUESTION", "TOLD", "Outgoing"]

TOLD, QUESTION, ANSWER = range(3)
"""The kinds of messages."""


class Outgoing:
    """The sending end of a channel. Any thread may send. A frame has all messages that are there when it is made.

    Args:
        channel: what carries the frames.
        pool: the blocks of this side.
        views: those of the other side.
        later: what is told with the next frame; anybody may add to it at any moment.
        last_words: what of all this is kept until it is sent.

    Attributes:
        carrier: makes tensors into parts of messages that go over this channel, and back.
    """

    def __init__(
        self, channel: Channel, pool: BlockPool, views: BlockViews, later: deque[Any], last_words: LastWords
    ) -> None:
        self._channel = channel
        self._last_words = last_words
        self._later = later
        self._waiting: deque[tuple[int, int, Any]] = deque()
        self._sending = threading.Lock()  # held while one frame is made and sent
        self.carrier = TensorCarrier(pool, views, self._announce)

    def put(self, kind: int, number: int, body: Any) -> None:
        """Add a message to those of the next frame."""
        self._waiting.append((kind, number, body))

    def send(self) -> None:
        """Send what waits. It is lost where the other side has gone."""
        with self._sending:
            self._send(None)

    def send_unless_busy(self) -> None:
        """Send what waits, unless somebody is just sending a frame."""
        if self._sending.acquire(blocking=False):
            try:
                self._send(None)
            finally:
                self._sending.release()

    def abandon(self) -> None:
        """Send nothing more: this process is a fork of the one whose channel it is."""
        self._sending = threading.Lock()  # somebody may have held the other one, who is not here

    def _send(self, descriptor: int | None) -> None:
        kept = self._last_words.mark
        waiting, messages = self._waiting, []
        while waiting:
            messages.append(waiting.popleft())
        if self._later:
            messages += [(TOLD, 0, plain(self._later.popleft())) for _ in range(len(self._later))]
        if messages:
            frame = pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)
            try:  # noqa: SIM105 - it costs nothing, while `suppress` makes an object and calls it three times for each frame
                self._channel.send(frame, descriptor)
            except OSError:
                pass  # whoever reads notices the end, too, and acts on it
            if kept:
                self._last_words.forget(kept)

    def _announce(self, number: int, size: int, kept: bool, descriptor: int) -> None:  # noqa: FBT001 - a block's facts
        """Tell of a block, in a frame whose only new block it is."""
        with self._sending:
            self.put(TOLD, 0, plain(NewBlock(number, size, kept)))
            self._send(descriptor)

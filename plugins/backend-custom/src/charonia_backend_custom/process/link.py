"""The line between the server and a model's process: messages that are told, and questions that are answered, both ways.

One thread of each side reads all the time. It only passes on, and waits for nothing, so that neither side ever waits for
the other one to read.
"""

from __future__ import annotations

import pickle
import threading
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from charonia_backend_custom.process.blocks import BlockPool, BlockViews
from charonia_backend_custom.process.carrier import TensorCarrier
from charonia_backend_custom.process.messages import NewBlock, Release

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia_backend_custom.process.channel import Channel

__all__ = ["Link", "LinkEndedError", "Listener", "Take"]

_TOLD, _QUESTION, _ANSWER = range(3)

_MANY = 16
"""So many messages that could wait are sent at once, even if there is nothing else to send."""

Take: TypeAlias = "Callable[[Any, Exception | None], None]"
"""Gets the answer to a question, or why there is none."""


class LinkEndedError(Exception):
    """The other side has gone, so that nobody answers."""


class Listener(Protocol):
    """Gets what the other side says, on the thread that reads: it must be quick and must not raise."""

    def on_told(self, message: Any) -> None:
        """Take a message."""

    def on_question(self, number: int, question: Any) -> None:
        """Take a question, which is answered by `Link.answer`, now or later."""

    def on_end(self) -> None:
        """The other side has gone. Open questions get their LinkEndedError next."""


class Link:
    """One side of the line. Any thread may tell, ask and answer; one thread is in `read`.

    Args:
        channel: what carries the frames; closed with the link.

    Attributes:
        carrier: makes tensors into messages and back.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sending = threading.Lock()  # held while one frame is sent
        self._asking = threading.Lock()  # guards the three below
        self._open: dict[int, Take] = {}
        self._asked = 0
        self._ended = False
        self._later: deque[Any] = deque()  # not guarded: the collection of garbage may come at any moment
        self._reader = 0
        self._pool = BlockPool(self._announce)
        self._views = BlockViews(self._give_back)
        self.carrier = TensorCarrier(self._pool, self._views)

    # -- saying

    def tell(self, message: Any) -> None:
        """Send a message. It is lost where the other side has gone."""
        self._send(_TOLD, 0, message)

    def tell_sometime(self, message: Any) -> None:
        """Send a message together with one of the next. Never blocks for long: for finalizers."""
        self._later.append(message)
        if (
            len(self._later) < _MANY
            or threading.get_ident() == self._reader
            or not self._sending.acquire(blocking=False)
        ):
            return
        try:
            self._send_frame(_TOLD, 0, None)
        finally:
            self._sending.release()

    def ask(self, question: Any) -> Any:
        """Send a question, and wait for its answer.

        Raises:
            LinkEndedError: the other side has gone.
            Exception: what the other side has answered with.
        """
        answered: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()
        self.ask_later(question, lambda value, error: answered.put((value, error)))
        value, error = answered.get()
        if error is not None:
            raise error
        return value

    def ask_later(self, question: Any, take: Take) -> None:
        """Send a question. The answer is given to `take` on the thread that reads, or at once where the other side has gone."""
        with self._asking:
            self._asked += 1
            number, ended = self._asked, self._ended
            if not ended:
                self._open[number] = take
        if ended:
            take(None, LinkEndedError())
        else:
            self._send(_QUESTION, number, question)

    def answer(self, number: int, value: Any = None, error: Exception | None = None) -> None:
        """Answer a question."""
        self._send(_ANSWER, number, (value, error))

    def _send(self, kind: int, number: int, body: Any) -> None:
        with self._sending:
            self._send_frame(kind, number, body)

    def _send_frame(self, kind: int, number: int, body: Any, descriptor: int | None = None) -> None:
        later = []
        with suppress(IndexError):
            while True:
                later.append(self._later.popleft())
        with suppress(OSError):  # the thread that reads notices the end, too, and acts on it
            self._channel.send(pickle.dumps((kind, number, body, later), pickle.HIGHEST_PROTOCOL), descriptor)

    def _announce(self, number: int, size: int, kept: bool, descriptor: int) -> None:  # noqa: FBT001 - a block's facts
        with self._sending:
            self._send_frame(_TOLD, 0, NewBlock(number, size, kept), descriptor)

    def _give_back(self, number: int) -> None:
        self.tell_sometime(Release(number))

    # -- hearing

    def read(self, listener: Listener) -> None:
        """Pass on what comes, until the other side has gone, or `end` is called."""
        self._reader = threading.get_ident()
        with suppress(EOFError):
            while True:
                self._pass_on(listener, *self._channel.receive())
        with self._asking:
            self._ended = True
            left, self._open = self._open, {}
        listener.on_end()
        for take in left.values():
            take(None, LinkEndedError())

    def _pass_on(self, listener: Listener, frame: bytearray, descriptor: int | None) -> None:
        kind, number, body, later = pickle.loads(frame)  # noqa: S301 - the other side is this program, too, and was started by it
        for message in later:
            self._take_told(listener, message, None)
        if kind == _TOLD:
            self._take_told(listener, body, descriptor)
        elif kind == _QUESTION:
            listener.on_question(number, body)
        else:
            with self._asking:
                take = self._open.pop(number)
            take(*body)

    def _take_told(self, listener: Listener, message: Any, descriptor: int | None) -> None:
        if isinstance(message, NewBlock) and descriptor is not None:
            self._views.add(*message, descriptor)
        elif isinstance(message, Release):
            self._pool.release(message.number)
        elif message is not None:
            listener.on_told(message)

    def end(self) -> None:
        """Have `read` return, here and there. Idempotent."""
        self._channel.shut_down()

    def close(self) -> None:
        """Let go of the line and its memory. `read` has returned, and nobody says anything more."""
        self._channel.close()
        self._pool.close()
        self._views.close()

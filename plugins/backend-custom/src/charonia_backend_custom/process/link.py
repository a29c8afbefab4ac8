"""The line between the server and a model's process: messages that are told, and questions that are answered, both ways.

It has two channels. Over the main one the server asks, and the process says everything; over the side one the server says
everything else. So the process's main thread reads by itself what it shall do, with no thread in between, while another one
of its threads takes what the server says meanwhile. In the server a thread reads, or an event loop that asks. Whoever only reads
passes on, and waits for nothing, so that neither side ever waits for the other one to read.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from weakref import WeakSet

from charonia.mailbox import Wakeups

from charonia_backend_custom.process.blocks import BlockPool, BlockViews
from charonia_backend_custom.process.messages import NEW_BLOCK, RELEASE, Release, message_of, plain
from charonia_backend_custom.process.outgoing import ANSWER, QUESTION, TOLD, Outgoing
from charonia_backend_custom.process.turns_of_reading import TurnsOfReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from charonia_backend_custom.process.channel import Channel
    from charonia_backend_custom.process.last_words import Answered, LastWords
    from charonia_backend_custom.process.messages import Plain

__all__ = ["Link", "LinkEndedError", "Listener", "Take"]

_MANY = 16
"""So many messages that could wait are sent at once, even if there is nothing else to send."""

Take: TypeAlias = "Callable[[Any, Exception | None], None]"
"""Gets the answer to a question, or why there is none."""

_Messages: TypeAlias = "list[tuple[int, int, Any]]"
"""What a frame has: kinds, numbers and bodies."""


class LinkEndedError(Exception):
    """The other side has gone, so that nobody answers."""


class Listener(Protocol):
    """Gets what the other side says, where it is read: it must be quick and must not raise."""

    def on_told(self, message: Any) -> None:
        """Take a message."""

    def on_question(self, number: int, question: Any) -> None:
        """Take a question, which is answered by `Link.answer`, now or later."""

    def on_pause(self) -> None:
        """All that has come so far is passed on: now the thread that reads waits for more."""

    def on_end(self) -> None:
        """The other side has gone. Open questions get their LinkEndedError next. On the thread that reads."""


class Link:
    """One side of the line. Any thread may tell, ask and answer; one thread is in `read`, and one perhaps in `questions`.

    Args:
        main: the channel on which the server asks, and the process says everything; closed with the link.
        side: the channel on which the server says everything else; closed with the link.
        last_words: what of the process's answers is kept until it is sent.
        serves: whether this is the server's side.

    Attributes:
        asking: where questions go, and what is within them.
        saying: where everything else goes, and what is within it.
    """

    def __init__(self, main: Channel, side: Channel, last_words: LastWords, *, serves: bool) -> None:
        self._main = main
        self._side = side
        self._serves = serves
        self._heard = main if serves else side
        self._reading = TurnsOfReading(self._heard)
        self._lock = threading.Lock()  # guards the three below
        self._open: dict[int, Take] = {}
        self._asked = 0
        self._ended = False
        self._later: deque[Any] = deque()  # not guarded: the collection of garbage may come at any moment
        self._reader = 0
        self._last_words = last_words
        self._put_off: Answered | None = None  # the latest answer, if it is held back, and not kept yet
        self._pool = BlockPool()
        self._views = BlockViews(self._give_back)
        self.asking = Outgoing(main, self._pool, self._views, self._later, last_words)
        self.saying = Outgoing(side, self._pool, self._views, self._later, last_words) if serves else self.asking
        _links.add(self)

    # -- saying

    @property
    def ended(self) -> bool:
        """Whether there is nobody on the other side."""
        return self._ended

    def tell(self, message: Any) -> None:
        """Send a message. It is lost where the other side has gone."""
        if self._ended:
            return
        self.saying.put(TOLD, 0, plain(message))
        self.saying.send()

    def tell_sometime(self, message: Any) -> None:
        """Send a message together with one of the next. Never blocks for long: for finalizers."""
        self._later.append(message)
        if len(self._later) >= _MANY and threading.get_ident() != self._reader:
            self.saying.send_unless_busy()

    def ask(self, question: Any) -> Any:
        """Send a question, and wait for its answer.

        Raises:
            LinkEndedError: the other side has gone.
            Exception: what the other side has answered with.
        """
        return self._asked_over(self.asking, question)

    def ask_aside(self, question: Any) -> Any:
        """Ask what the other side answers whatever it is busy with, and wait for it. Raises what `ask` raises."""
        return self._asked_over(self.saying, question)

    def _asked_over(self, outgoing: Outgoing, question: Any) -> Any:
        answered: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()
        if self._put_question(outgoing, question, lambda value, error: answered.put((value, error))):
            outgoing.send()
        value, error = answered.get()
        if error is not None:
            raise error
        return value

    def ask_later(self, question: Any, take: Take) -> None:
        """Send a question, together with others where the thread holds its wake-ups back.

        The answer is given to `take` where it is read, or at once where the other side has gone.
        """
        if self._put_question(self.asking, question, take) and not Wakeups.later(self):
            self.asking.send()

    def _put_question(self, outgoing: Outgoing, question: Any, take: Take) -> bool:
        """Put a question among what is sent next. False where the other side has gone: then nobody answers."""
        with self._lock:
            self._asked += 1
            number, ended = self._asked, self._ended
            if not ended:
                self._open[number] = take
        if ended:
            take(None, LinkEndedError())
        else:
            outgoing.put(QUESTION, number, plain(question))
        return not ended

    def answer(self, number: int, value: Any = None, error: Exception | None = None) -> None:
        """Answer a question, together with others where the thread holds its wake-ups back."""
        self.saying.put(ANSWER, number, (value, error))
        if not self._serves and Wakeups.later(self):
            self._put_off = number, value, error
        else:
            self.saying.send()

    def keep_answer(self) -> None:
        """See to it that the server has the answer that was put off last, if there is one, even if this process ends now.

        On the process's side, on the thread that puts answers off.
        """
        put_off, self._put_off = self._put_off, None
        if put_off is not None and not (self._ended or self._last_words.keep(put_off)):
            self.asking.send()

    def wake(self) -> None:
        """Send what was put off. Where an event loop does so, it also reads what comes, as long as it gets round to that."""
        self.asking.send()
        loop = asyncio._get_running_loop()  # noqa: SLF001 - documented
        if loop is not None:
            self._reading.offer(loop)

    def _give_back(self, number: int) -> None:
        self.tell_sometime(Release(number))

    # -- hearing

    def read(self, listener: Listener) -> None:
        """Pass on what comes, until the other side has gone, or `end` is called."""
        self._reader = threading.get_ident()
        self._reading.read(partial(self._pass_on, listener), listener.on_pause)
        if self._heard.given_up:
            self.end()
        with self._lock:
            self._ended = True
            left, self._open = self._open, {}
        if self._serves:
            for number, value, error in self._last_words.read():
                if number in left:
                    left.pop(number)(value, error)
        listener.on_end()
        for take in left.values():
            take(None, LinkEndedError())

    def _pass_on(self, listener: Listener, frame: memoryview, descriptor: int | None) -> None:
        try:
            messages: _Messages = pickle.loads(frame)  # noqa: S301 - the other side is this program, too, and was started by it
        except Exception as error:
            raise self._heard.give_up() from error
        for kind, number, body in messages:
            if kind == ANSWER:
                with self._lock:
                    take = self._open.pop(number)
                take(*body)
            elif kind == QUESTION:
                listener.on_question(number, message_of(body))
            elif not self._is_about_blocks(body, descriptor):
                listener.on_told(message_of(body))

    def questions(self, on_pause: Callable[[], object]) -> Iterator[tuple[int, Any]]:
        """Give what the server asks, with the numbers by which to answer, until it has gone. On the process's side.

        Args:
            on_pause: called before it waits.
        """
        with suppress(EOFError):
            while True:
                frame, descriptor = self._main.receive(on_pause)
                messages: _Messages = pickle.loads(frame)  # noqa: S301 - as above
                for kind, number, body in messages:
                    if kind == QUESTION:
                        yield number, message_of(body)
                    else:
                        self._is_about_blocks(body, descriptor)

    def _is_about_blocks(self, body: Plain, descriptor: int | None) -> bool:
        """Tell whether a message is about blocks, and if so, act on it."""
        code, *facts = body
        if code == NEW_BLOCK and descriptor is not None:
            number, size, kept = facts
            self._views.add(number, size, kept, descriptor)
        elif code == RELEASE:
            self._pool.release(*facts)
        return code in (NEW_BLOCK, RELEASE)

    def end(self) -> None:
        """Have `read` and `questions` return, here and there. Idempotent."""
        self._main.shut_down()
        self._side.shut_down()

    def abandon(self) -> None:
        """Leave the line to the process of which this one is a fork, and which would otherwise seem to live as long as this."""
        self._lock = threading.Lock()  # somebody may have held the other one, who is not here
        self._ended = True
        self.asking.abandon()
        self.saying.abandon()
        self._pool.abandon()
        self._main.close()
        self._side.close()

    def close(self) -> None:
        """Let go of the line and its memory. Nobody reads, or says anything more."""
        self._main.close()
        self._side.close()
        self._pool.close()
        self._views.close()


_links: WeakSet[Link] = WeakSet()
"""All of this process."""


def _abandon_all() -> None:
    for link in list(_links):
        link.abandon()


os.register_at_fork(after_in_child=_abandon_all)

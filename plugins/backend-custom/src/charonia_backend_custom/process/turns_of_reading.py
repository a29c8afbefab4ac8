"""Who reads what a model's process says: a thread of its own, or an event loop that asks."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from charonia_backend_custom.process.channel import Channel

__all__ = ["TurnsOfReading"]

_PATIENCE_SECONDS = 0.25
"""The thread reads again when an event loop has not done so for that long."""

_ALWAYS_READABLE = os.eventfd(1)

PassOn: TypeAlias = "Callable[[memoryview, int | None], None]"
"""Takes a frame, and the descriptor that came with it. The frame is valid until it returns."""


class TurnsOfReading:
    """Has a channel read by a thread, or by an event loop, which saves the way from one to the other and back.

    The thread waits in the system until something comes. An event loop that asks takes its place, and the thread looks after it:
    if nothing has been read for a while, be it that nothing has come or that the loop is held up or was closed, the thread reads
    again, until the loop asks the next time. So nobody waits for a loop in vain, and where nothing happens, nobody is woken.

    Args:
        channel: what is read.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._turn = threading.Lock()  # held by whoever reads
        self._given_back = threading.Event()
        self._reader: _LoopReader | None = None  # that of the loop whose turn it is
        self._read_by_loop = 0
        self._pass_on: PassOn

    def read(self, pass_on: PassOn, on_pause: Callable[[], object]) -> None:
        """Read until the other side has gone, or the channel is shut down. On the thread.

        Args:
            pass_on: takes what comes, on whichever thread reads.
            on_pause: called before this thread waits.
        """
        self._pass_on = pass_on
        try:
            while True:
                with self._turn:
                    while self._reader is None:
                        pass_on(*self._channel.receive(on_pause))
                    on_pause()
                self._look_after_loop()
                self._take_back()
        except EOFError:
            self._take_back()

    def _look_after_loop(self) -> None:
        """Return when the loop has not read for a while, or does not want to any more."""
        seen = -1
        while seen != self._read_by_loop and not self._given_back.wait(_PATIENCE_SECONDS):
            seen = self._read_by_loop

    def _take_back(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.retire()

    def offer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have a loop read from now on, unless one does so. Called on its thread; it gets round to reading soon."""
        if self._reader is None:
            self._given_back.clear()
            self._reader = _LoopReader(loop, self._channel, self._readable)

    def _readable(self, reader: _LoopReader) -> None:
        """Read what has come. On the loop's thread."""
        if self._reader is not reader:
            reader.close()
            return
        if not self._turn.acquire(blocking=False):
            return  # the thread has waited for this, and reads it
        try:
            self._read_by_loop += 1
            for frame, descriptor in self._channel.arrived():
                self._pass_on(frame, descriptor)
        except EOFError:
            self._given_back.set()  # so that the thread learns of the end
        finally:
            self._turn.release()


class _LoopReader:
    """An event loop that is told when there is something to read. Made on its thread.

    The loop gets a descriptor of its own: it may still know that when the channel is closed, and some loops change a descriptor
    so that whoever else reads from it would not wait.

    Args:
        loop: the loop.
        channel: what it reads.
        readable: called with this one, on the loop's thread.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: Channel, readable: Callable[[_LoopReader], None]
    ) -> None:
        self._loop = loop
        self._lock = threading.Lock()  # guards `_poll` while it is closed
        self._poll = select.epoll()
        self._poll.register(channel.fileno(), select.EPOLLIN)
        loop.add_reader(self._poll.fileno(), readable, self)

    def retire(self) -> None:
        """Have the loop called once more, whether or not there is something to read, so that it closes this one. Any thread."""
        with self._lock:
            if not self._poll.closed:
                self._poll.register(_ALWAYS_READABLE, select.EPOLLIN)

    def close(self) -> None:
        """Be told no more. On the loop's thread."""
        with self._lock:
            if not self._poll.closed:
                self._loop.remove_reader(self._poll.fileno())
                self._poll.close()

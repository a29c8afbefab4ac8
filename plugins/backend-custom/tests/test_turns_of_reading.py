"""Who reads a channel: here its other end is in this process, too."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
from charonia_backend_custom.process.channel import Channel
from charonia_backend_custom.process.turns_of_reading import TurnsOfReading


class ChangingLoop(asyncio.SelectorEventLoop):
    """An event loop that, as uvloop does, has nobody wait any more who reads from the descriptors that it is told of."""

    def add_reader(self, fd, callback, *args):
        os.set_blocking(fd, False)
        super().add_reader(fd, callback, *args)


class Line:
    """A channel that is read in turns, and its other end."""

    def __init__(self):
        self.here, self.there = map(Channel, socket.socketpair())
        self.turns = TurnsOfReading(self.here)
        self.read = SimpleQueue()
        self.thread = threading.Thread(target=self.turns.read, args=(self._pass_on, bool))
        self.thread.start()

    def _pass_on(self, frame, descriptor):
        self.read.put((bytes(frame), descriptor, threading.current_thread()))

    def come(self, content):
        """Have a frame come, and tell on which thread it is read."""
        self.there.send(content)
        got, descriptor, thread = self.read.get(timeout=60)
        assert (got, descriptor) == (content, None)
        return thread

    def close(self):
        self.there.shut_down()
        self.thread.join()
        self.there.close()
        self.here.close()


@contextmanager
def looping(loop):
    """Run an event loop on a thread of its own."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield thread
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def line():
    """A line, closed at the end."""
    line = Line()
    yield line
    line.close()


async def offered(line):
    """Have this loop read."""
    line.turns.offer(asyncio.get_running_loop())


def read_by_loop(line, loop, thread):
    """Have a loop read, and wait until it does so: the thread has waited for one frame more."""
    for number in range(100):
        asyncio.run_coroutine_threadsafe(offered(line), loop).result()
        if line.come(b"%d" % number) is thread:
            return True
    return False


def test_the_thread_reads_where_no_loop_asks(line):
    """As long as nothing is offered, everything comes to the thread, in its order."""
    assert {line.come(b"%d" % number) for number in range(20)} == {line.thread}


@pytest.mark.parametrize("kind", [asyncio.SelectorEventLoop, ChangingLoop])
def test_a_loop_that_asks_reads(line, kind):
    """From the second frame on it is the loop that reads, and the thread can go on after it."""
    loop = kind()
    with looping(loop) as thread:
        assert read_by_loop(line, loop, thread)
    assert line.come(b"after it") is line.thread
    assert line.come(b"and so on") is line.thread


def test_a_loop_that_is_held_up_is_not_waited_for(line):
    """What comes while the loop does something else for long is read by the thread."""
    loop = asyncio.SelectorEventLoop()
    with looping(loop) as thread:
        assert read_by_loop(line, loop, thread)
        held, go_on = threading.Event(), threading.Event()
        loop.call_soon_threadsafe(lambda: (held.set(), go_on.wait(60)))
        held.wait(60)
        try:
            assert line.come(b"meanwhile") is line.thread
        finally:
            go_on.set()
        assert read_by_loop(line, loop, thread)


def test_nothing_is_left_of_a_line_that_ends(line):
    """When the other side goes, the thread learns of it, and the loop does not look at anything of the line any more."""
    loop = asyncio.SelectorEventLoop()
    with looping(loop) as thread:
        before = len(list(Path("/proc/self/fd").iterdir()))
        assert read_by_loop(line, loop, thread)
        line.there.shut_down()
        line.thread.join(60)
        assert not line.thread.is_alive()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

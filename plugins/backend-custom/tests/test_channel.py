"""Frames between two processes: here both ends are in one."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from charonia_backend_custom.process.channel import Channel
from hypothesis import given
from hypothesis import strategies as st


@contextmanager
def both_ends():
    """Give two channels that are connected."""
    here, there = map(Channel, socket.socketpair())
    try:
        yield here, there
    finally:
        here.close()
        there.close()


@given(st.lists(st.tuples(st.integers(0, 200_000), st.booleans()), max_size=20))
def test_frames_come_as_they_were_sent(frames):
    """Frames of any size come whole and in order, each with its own descriptor, however many of them are read at once."""
    sent = [(bytes([number]) * size, described) for number, (size, described) in enumerate(frames)]
    with both_ends() as (here, there), Path(os.devnull).open() as file:

        def send():
            for content, described in sent:
                here.send(content, file.fileno() if described else None)

        sending = threading.Thread(target=send)
        sending.start()
        for content, described in sent:
            frame, descriptor = there.receive(bool)
            assert bytes(frame) == content
            assert (descriptor is not None) == described
            if descriptor is not None:
                assert os.fstat(descriptor) == os.fstat(file.fileno())
                os.close(descriptor)
        sending.join()


def test_a_pause_is_told_before_waiting_only():
    """As long as a whole frame is there, nobody is told that there is none."""
    pauses = []
    with both_ends() as (here, there):
        for content in (b"one", b"two"):
            here.send(content)
        for content in (b"one", b"two"):
            assert bytes(there.receive(partial(pauses.append, content))[0]) == content
        assert pauses == [b"one"]


def test_what_has_arrived_is_given_without_waiting():
    """Nothing where nothing has come, all whole frames of what has, and the rest of one that comes in parts later."""
    with both_ends() as (here, there):
        assert list(there.arrived()) == []
        for content in (b"one", b"two"):
            here.send(content)
        assert [bytes(frame) for frame, _ in there.arrived()] == [b"one", b"two"]
        sending = threading.Thread(target=here.send, args=(1_000_000 * b"x",))
        sending.start()
        frames = []
        while not frames:
            frames = [bytes(frame) for frame, _ in there.arrived()]
        sending.join()
        assert frames == [1_000_000 * b"x"]
        here.shut_down()
        with pytest.raises(EOFError):
            list(there.arrived())


def test_the_other_side_has_gone():
    """What was sent before is received, and then that there will be nothing any more."""
    with both_ends() as (here, there), Path(os.devnull).open() as file:
        here.send(b"last", file.fileno())
        here.shut_down()
        frame, descriptor = there.receive(bool)
        assert bytes(frame) == b"last"
        os.close(descriptor)
        with pytest.raises(EOFError):
            there.receive(bool)

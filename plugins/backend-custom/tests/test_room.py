"""How many batches an instance may have in progress, and when one more begins."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from charonia.request import InferenceRequest
from charonia_backend_custom.room import QuickRoom, Room
from hypothesis import given
from hypothesis import strategies as st

QUICK = (0, 20_000)
SLOW = (0, 5_000_000)


def request(size=64, **what):
    return InferenceRequest("m", {"X": np.zeros(size, np.uint8)}, print, **what)


def trusted(most=8):
    """Make a room whose batches have proved to be quick."""
    room = QuickRoom(most)
    for _ in range(1_000):
        room.note(QUICK)
    return room


def test_as_many_as_may_be():
    """The next batch may begin as soon as there are fewer in progress than the room has places."""
    room = Room(2)
    room.enter([request()])
    room.wait()
    room.enter([request()])
    waiting = threading.Thread(target=room.wait)
    waiting.start()
    assert waiting.is_alive()
    room.leave()
    waiting.join()


def test_slow_batches_are_executed_one_after_the_other():
    """What has not proved to be quick, or does so no more, is passed on when the batch before has ended."""
    slow = trusted()
    for _ in range(10):
        slow.note(SLOW)
    ended = trusted()
    ended.forget()
    for room in (QuickRoom(8), slow, ended):
        room.enter([request()])
        waiting = threading.Thread(target=room.wait)
        waiting.start()
        assert waiting.is_alive()
        room.leave()
        waiting.join()


@given(st.lists(st.integers(0, 1 << 25), min_size=1), st.integers(1, 40))
def test_quick_batches_are_passed_on_ahead(sizes, most):
    """There are never more than places; of large ones only so many as need 2 MiB, or one; and whoever waits is woken in time."""
    room = trusted(most)
    inside = []
    too_many = []

    def enter():
        for size in sizes:
            inside.append(size)
            room.enter([request(size)])
            room.wait()
            if len(inside) >= min(most, max(1, (2 << 20) // max(size, 1))):
                too_many.append(size)

    entering = threading.Thread(target=enter)
    entering.start()
    while entering.is_alive() or inside:
        if inside:
            inside.pop()
            room.leave()
    entering.join()
    assert not too_many


@given(size=st.integers(0, 2_000), inside=st.integers(0, 40), most=st.integers(1, 40))
def test_taking_at_once_never_waits(size, inside, most):
    """Where a request is taken at once, there is room for it and for another one."""
    room = trusted(most)
    for _ in range(inside):
        room.enter([request()])
    if room.takes_at_once(request(size)):
        room.enter([request(size)])
        room.wait()


@pytest.mark.parametrize("what", [{"size": 1 << 13}, {"parameters": {"a": "b"}}, {"id": 100 * "x"}])
def test_what_a_socket_might_not_take_at_once(what):
    """Large requests, and such as may be large in other ways, are left to a thread that may wait; so is all that comes after them."""
    room = trusted()
    assert room.takes_at_once(request())
    assert not room.takes_at_once(request(**what))
    room.enter([request(**what)])
    room.enter([request()])
    room.leave()
    assert not room.takes_at_once(request())
    room.leave()
    assert room.takes_at_once(request())


def test_room_for_coroutines_tells_nothing_of_haste():
    """Whoever must not be held up does not enter a room whose batches take as long as they take."""
    assert not Room(64).takes_at_once(request())
    assert not QuickRoom(8).takes_at_once(request())

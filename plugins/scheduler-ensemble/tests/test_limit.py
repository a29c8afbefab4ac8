"""A decoupled step that is too far ahead: held back until the others have caught up, nobody wants it, or patience ends."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from charonia.testing.virtual_clock import VirtualClock
from charonia_scheduler_ensemble.limit import WaveLimit


@pytest.fixture
def clock():
    """A clock that is moved by hand."""
    return VirtualClock()


@pytest.fixture
def held(clock):
    """Give a limit of one response that one has taken, and the end of another one's wait for it, with whether that is given up."""
    limit = WaveLimit("e", 1, clock)
    limit.enter(0, lambda: False)
    looked, given_up = threading.Event(), threading.Event()

    def look():
        looked.set()
        return given_up.is_set()

    with ThreadPoolExecutor(1) as model:
        entered = model.submit(limit.enter, 0, look)
        assert looked.wait(30)
        yield limit, entered, given_up


def test_it_goes_on_when_another_has_ended(held):
    """Where as many are ahead as may be, the next one comes when one of them is done."""
    limit, entered, _ = held
    limit.enter(1, lambda: False)  # of another step
    limit.leave(1)
    assert not entered.done()
    limit.leave(0)
    entered.result(30)


def test_it_goes_on_after_five_minutes(held, clock, caplog):
    """A step is not held back for longer, and the log says so."""
    _, entered, _ = held
    clock.advance(299)
    assert not entered.done()
    clock.advance(1)
    entered.result(30)
    assert caplog.messages == ['ensemble "e": step 0 was held back for too long, and goes on']


def test_it_goes_on_where_nobody_wants_it(held, clock, caplog):
    """What is given up meanwhile is not held back."""
    _, entered, given_up = held
    given_up.set()
    clock.advance(1)
    entered.result(30)
    assert not caplog.messages

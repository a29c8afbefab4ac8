"""Clocks: the machine's own, and the one that tests move by hand."""

from __future__ import annotations

import queue
import threading

import pytest
from charonia.clock import Clock
from charonia.testing.virtual_clock import VirtualClock


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    clock.close()


@pytest.fixture
def held_up(clock):
    """Have the clock ring nothing until this is set, so that it does not matter how long a test takes to ask."""
    go_on = threading.Event()
    clock.call_at(0, go_on.wait)
    yield go_on
    go_on.set()


def test_alarms_ring_in_the_order_of_their_times(clock, held_up):
    """However they were asked for, alarms ring earliest first, and equal ones in the order of asking."""
    rung = queue.SimpleQueue()
    now = clock.now_ns()
    for delay_ms in (30, 10, 20, 10):
        clock.call_at(now + delay_ms * 1_000_000, lambda delay_ms=delay_ms: rung.put((delay_ms, clock.now_ns())))
    held_up.set()
    heard = [rung.get(timeout=30) for _ in range(4)]
    assert [delay_ms for delay_ms, _ in heard] == [10, 10, 20, 30]
    assert all(at >= now + delay_ms * 1_000_000 for delay_ms, at in heard)


def test_earlier_alarm_overtakes_one_that_is_awaited(clock):
    """A clock that waits for a far alarm rings a nearer one that comes later."""
    rung = queue.SimpleQueue()
    clock.call_at(clock.now_ns() + 3_600_000_000_000, lambda: rung.put("far"))
    clock.call_at(clock.now_ns(), lambda: rung.put("near"))
    assert rung.get(timeout=30) == "near"


def test_cancelled_alarm_does_not_ring(clock, held_up):
    """An alarm that was taken back is silent, and those after it ring."""
    rung = queue.SimpleQueue()
    at = clock.now_ns() + 20_000_000
    clock.call_at(at, lambda: rung.put("cancelled")).cancel()
    clock.call_at(at, lambda: rung.put("kept"))
    held_up.set()
    assert rung.get(timeout=30) == "kept"
    assert rung.empty()


def test_alarm_that_fails_harms_no_other(clock, caplog):
    """What an alarm raises is logged, and the next one rings."""
    rung = queue.SimpleQueue()
    clock.call_at(0, [].pop)
    clock.call_at(1, lambda: rung.put("next"))
    assert rung.get(timeout=30) == "next"
    assert "an alarm failed" in caplog.text


def test_closed_clock_calls_nobody():
    """Closing joins the thread, twice does no harm, and later alarms are cancelled."""
    clock = Clock()
    clock.call_at(clock.now_ns() + 3_600_000_000_000, pytest.fail)
    clock.close()
    clock.close()
    assert clock.call_at(0, pytest.fail).cancelled


def test_waiting_ends_at_its_time(clock):
    """Nobody notifies, and the caller has the lock again when the time has come."""
    condition = threading.Condition()
    until = clock.now_ns() + 5_000_000
    with condition:
        while clock.now_ns() < until:
            clock.wait(condition, until)


def test_virtual_time_passes_only_by_hand():
    """Alarms ring within `advance`, each at its own time, those that alarms ask for included."""
    clock = VirtualClock()
    start = clock.now_ns()
    rung = []

    def ring():
        rung.append((clock.now_ns() - start) / 1e9)
        if len(rung) < 3:
            clock.call_at(clock.now_ns() + 1_000_000_000, ring)

    clock.call_at(start + 1_000_000_000, ring)
    clock.advance(0.5)
    assert rung == []
    clock.advance(2.0)
    assert rung == [1.0, 2.0]
    clock.advance(10)
    assert rung == [1.0, 2.0, 3.0]


def test_virtual_wait_is_woken_by_time():
    """A thread that waits for a virtual time goes on when it has come."""
    clock = VirtualClock()
    condition = threading.Condition()
    until = clock.now_ns() + 1_000_000_000
    woken = queue.SimpleQueue()

    def wait():
        with condition:
            while clock.now_ns() < until:
                clock.wait(condition, until)
        woken.put(clock.now_ns())

    thread = threading.Thread(target=wait)
    thread.start()
    clock.advance(0.25)
    assert woken.empty()
    clock.advance(1)
    assert woken.get(timeout=30) >= until
    thread.join(30)

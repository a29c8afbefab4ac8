"""Time that stands still while the machine does, so that a trace is played, and executed, at its times however busy that is."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

import pytest
from charonia import loader
from charonia.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK_SECONDS = 0.005
_MOST_NS = 2 * round(_TICK_SECONDS * 1e9)
"""So much passes at most from one tick to the next: if nobody ticked for longer, nobody else here did anything either."""


class SteadyTime:
    """The machine's time, less those times in which this process did not get to run.

    Within its context, the servers that are made and the models that sleep, both in this process, keep it.
    """

    def __init__(self) -> None:
        self._at_tick = 0, time.monotonic_ns()  # what had passed by then, and when that was
        self._ended = threading.Event()
        self._ticking = threading.Thread(target=self._tick, name="steady-time")
        self._patches = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        self._ticking.start()
        self._patches.setattr(loader, "Clock", self.clock)
        self._patches.setattr(time, "sleep", self._sleep)
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.undo()
        self._ended.set()
        self._ticking.join()

    def clock(self) -> Clock:
        """Make a clock that keeps this time."""
        return SteadyClock(self.now_ns)

    def now_ns(self) -> int:
        """Tell what has passed."""
        return self._now()[0]

    def _now(self) -> tuple[int, int]:
        """Tell what has passed, and when that is: by one look at the machine's clock, so that nobody sees the time go back."""
        passed, since = self._at_tick
        now_ns = time.monotonic_ns()
        return passed + min(now_ns - since, _MOST_NS), now_ns

    def _sleep(self, seconds: float) -> None:
        sleep_until(self.clock(), self.now_ns() + round(seconds * 1e9))

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            self._at_tick = self._now()


class SteadyClock(Clock):
    """A clock that keeps such a time."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        super().__init__()
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Tell the time in nanoseconds."""
        return self._now_ns()


def sleep_until(clock: Clock, when_ns: int) -> None:
    """Wait until a clock tells a time."""
    pause = threading.Condition()
    with pause:
        while clock.now_ns() < when_ns:
            clock.wait(pause, when_ns)

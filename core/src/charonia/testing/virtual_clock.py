"""A clock that a test moves by hand."""

from __future__ import annotations

import heapq
import itertools
import threading
from typing import TYPE_CHECKING

from charonia.clock import Alarm, Clock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VirtualClock"]


class VirtualClock(Clock):
    """Time stands still until `advance`. Alarms ring in the thread that lets time pass, in the order of their times."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()  # guards all below
        self._now_ns = 1_000_000_000
        self._due: list[tuple[int, int, Alarm]] = []
        self._order = itertools.count()
        self._waiting: dict[threading.Condition, int] = {}

    def now_ns(self) -> int:
        """Tell the virtual time."""
        return self._now_ns

    def wait(self, condition: threading.Condition, until_ns: int | None = None) -> None:
        """Wait until the condition is notified, or until `advance` has let the time come."""
        with self._lock:
            if until_ns is not None and until_ns <= self._now_ns:
                return
            self._waiting[condition] = self._waiting.get(condition, 0) + 1
        try:
            condition.wait()
        finally:
            with self._lock:
                self._waiting[condition] -= 1
                if not self._waiting[condition]:
                    del self._waiting[condition]

    def call_at(self, when_ns: int, callback: Callable[[], object]) -> Alarm:
        """Have `callback()` called by the `advance` that reaches the time; by the next one if it is past."""
        alarm = Alarm(callback)
        with self._lock:
            heapq.heappush(self._due, (when_ns, next(self._order), alarm))
        return alarm

    def advance(self, seconds: float) -> None:
        """Let time pass: ring each alarm at its time, and let all who wait on conditions look at the clock."""
        end_ns = self._now_ns + round(seconds * 1e9)
        while (alarm := self._pop_due(end_ns)) is not None:
            alarm.ring()
            self._notify()
        self._notify()

    def stall(self, seconds: float) -> None:
        """Let time pass as it does where the process is stopped: alarms that are due meanwhile ring when it is over, late."""
        with self._lock:
            self._now_ns += round(seconds * 1e9)
        self.advance(0)

    def _pop_due(self, end_ns: int) -> Alarm | None:
        with self._lock:
            if self._due and self._due[0][0] <= end_ns:
                when_ns, _, alarm = heapq.heappop(self._due)
                self._now_ns = max(self._now_ns, when_ns)
                return alarm
            self._now_ns = end_ns
            return None

    def _notify(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()

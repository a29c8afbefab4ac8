"""Time, as schedulers see it: what time it is, waiting until then, and being called then.

Whatever depends on time takes a clock, so that its tests can let time pass by themselves (`charonia.testing.virtual_clock`).
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Alarm", "Clock"]

_log = logging.getLogger(__name__)


class Alarm:
    """A call that a clock will make. `cancel` takes it back, unless it is being made already; any thread, any number of times."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not call."""
        self._callback = None

    @property
    def cancelled(self) -> bool:
        """Whether there is nothing to call any more."""
        return self._callback is None

    def ring(self) -> None:
        """Call, once."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Clock:
    """The machine's monotonic clock. Its one thread is started by the first `call_at` and joined by `close`.

    Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all below
        self._alarms: list[tuple[int, int, Alarm]] = []  # a heap; the number keeps the order of equal times
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def now_ns(self) -> int:
        """Tell the time in nanoseconds; only differences mean anything."""
        return time.monotonic_ns()

    def wait(self, condition: threading.Condition, until_ns: int | None = None) -> None:
        """Wait on a condition whose lock the caller holds, until it is notified, or until a time.

        It may return early: callers look again at what they wait for, and at the time.
        """
        if until_ns is None:
            condition.wait()
        else:
            condition.wait(min(max(0.0, (until_ns - self.now_ns()) / 1e9), threading.TIMEOUT_MAX))

    def call_at(self, when_ns: int, callback: Callable[[], object]) -> Alarm:
        """Have `callback()` called at a time, or at once if that is past: on the clock's thread, so that it must be quick."""
        alarm = Alarm(callback)
        with self._changed:
            if self._closed:
                alarm.cancel()
                return alarm
            heapq.heappush(self._alarms, (when_ns, next(self._numbers), alarm))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="charonia-clock", daemon=True)
                self._thread.start()
            elif self._alarms[0][2] is alarm:
                self._changed.notify()
        return alarm

    def _run(self) -> None:
        while (alarm := self._next()) is not None:
            try:
                alarm.ring()
            except Exception:  # noqa: BLE001 - the others' alarms must ring nevertheless
                _log.exception("an alarm failed")

    def _next(self) -> Alarm | None:
        """Wait for the next alarm's time. None when the clock is closed."""
        with self._changed:
            while not self._closed:
                while self._alarms and self._alarms[0][2].cancelled:
                    heapq.heappop(self._alarms)
                if not self._alarms:
                    self._changed.wait()
                    continue
                left_ns = self._alarms[0][0] - self.now_ns()
                if left_ns <= 0:
                    return heapq.heappop(self._alarms)[2]
                self._changed.wait(min(left_ns / 1e9, threading.TIMEOUT_MAX))
            return None

    def close(self) -> None:
        """Call nobody any more, and join the thread. Idempotent."""
        with self._changed:
            self._closed = True
            self._alarms.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

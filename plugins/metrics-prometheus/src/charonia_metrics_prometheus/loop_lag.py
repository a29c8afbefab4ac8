"""How late the event loop is: what a callback waits beyond the time for which it was asked."""

from __future__ import annotations

import asyncio

from prometheus_client.metrics_core import Metric

__all__ = ["LoopLag"]

_PERIOD_SECONDS = 0.05
"""How often is looked: whatever keeps the loop for longer than this cannot go unseen."""

_WINDOW_SECONDS = 60.0


class LoopLag:
    """Measures the running loop from `start` to `stop`, which are called on it. Any thread may read it.

    Args:
        window_seconds: for how long the worst is told, at least; at most twice as long.
    """

    def __init__(self, window_seconds: float = _WINDOW_SECONDS) -> None:
        self._window = window_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._before = self._worst = 0.0  # of the window before, and of this one
        self._ends = 0.0

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self._ends = loop.time() + self._window
        self._wait(loop)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _PERIOD_SECONDS
        self._timer = loop.call_at(due, self._note, loop, due)

    def _note(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        if now >= self._ends:
            self._before, self._worst, self._ends = self._worst, 0.0, now + self._window
        self._worst = max(self._worst, now - due)
        self._wait(loop)

    def metric(self) -> Metric:
        """Tell the worst of the last minute or two, in seconds: the same to everybody who looks."""
        metric = Metric(
            "charonia_event_loop_lag_seconds",
            "The longest that the event loop kept something waiting in the last minute or two",
            "gauge",
        )
        metric.add_sample(metric.name, {}, max(self._before, self._worst))
        return metric

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

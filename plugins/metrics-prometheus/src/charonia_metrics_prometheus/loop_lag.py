"""How late the event loop is: what a callback waits beyond the time for which it was asked."""

from __future__ import annotations

import asyncio

from prometheus_client.metrics_core import Metric

__all__ = ["LoopLag"]

_PERIOD_SECONDS = 0.05
"""How often is looked: whatever keeps the loop for longer than this cannot go unseen."""


class LoopLag:
    """Measures the running loop from `start` to `stop`, which are called on it. Any thread may read it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._worst = 0.0

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._wait(self._loop)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _PERIOD_SECONDS
        self._timer = loop.call_at(due, self._note, loop, due)

    def _note(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._worst = max(self._worst, loop.time() - due)
        self._wait(loop)

    def metric(self) -> Metric:
        """Tell the worst since the last time it was told, in seconds."""
        worst, self._worst = self._worst, 0.0
        metric = Metric(
            "charonia_event_loop_lag_seconds",
            "The longest that the event loop kept something waiting since the last look",
            "gauge",
        )
        metric.add_sample(metric.name, {}, worst)
        return metric

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

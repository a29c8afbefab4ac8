"""The bound on what decoupled steps may be ahead of the steps that follow them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.clock import Clock

__all__ = ["WaveLimit"]

_log = logging.getLogger("charonia.scheduler_ensemble.limit")

_PATIENCE_NS = 300 * 10**9
"""As in the reference, a step that was held back for so long goes on regardless."""


class WaveLimit:
    """Counts the responses of each decoupled step that the steps after it have not finished, over all requests.

    Args:
        ensemble: the ensemble's name.
        most: how many there may be of each step.
        clock: tells the time.
    """

    def __init__(self, ensemble: str, most: int, clock: Clock) -> None:
        self._ensemble = ensemble
        self._most = most
        self._clock = clock
        self._changed = threading.Condition()  # guards `_counts`
        self._counts: dict[int, int] = {}

    def enter(self, step: int, given_up: Callable[[], bool]) -> None:
        """Count one in; where there are as many as may be, wait first, which holds back the model that makes them.

        Args:
            step: the decoupled step.
            given_up: tells that nobody wants the response any more, so that it need not wait.
        """
        until_ns = self._clock.now_ns() + _PATIENCE_NS
        with self._changed:
            while self._counts.get(step, 0) >= self._most and not given_up():
                if self._clock.now_ns() >= until_ns:
                    _log.warning('ensemble "%s": step %d was held back for too long, and goes on', self._ensemble, step)
                    break
                self._clock.wait(self._changed, until_ns)
            self._counts[step] = self._counts.get(step, 0) + 1

    def leave(self, step: int) -> None:
        """Count one out."""
        with self._changed:
            self._counts[step] -= 1
            self._changed.notify_all()

"""Responses in the order in which their requests were given out, though they may be made in another one."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.request import InferenceResponse

    from charonia_scheduler_sequence.executed import Executed

__all__ = ["ResponseOrder"]


class ResponseOrder:
    """Holds each response of an instance back until all requests before are answered. Any thread may answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._turns: dict[Executed, deque[InferenceResponse]] = {}
        self._delivering = (
            False  # whether some thread passes responses on: one does at a time, so that they stay in order
        )

    def follow(self, executed: Executed) -> None:
        """Give a request its place behind all others."""
        with self._lock:
            self._turns[executed] = deque()

    def deliver(self, executed: Executed, response: InferenceResponse) -> None:
        """Answer a client as soon as its turn comes, and those who waited for it."""
        with self._lock:
            self._turns[executed].append(response)
            if self._delivering:
                return
            self._delivering = True
        while (due := self._next()) is not None:
            due[0].deliver(due[1])

    def _next(self) -> tuple[Executed, InferenceResponse] | None:
        """Give the next response that is due; None, and let others deliver, if it has not been made yet."""
        with self._lock:
            first = next(iter(self._turns), None)
            if first is None or not self._turns[first]:
                self._delivering = False
                return None
            response = self._turns[first].popleft()
            if response.final:
                del self._turns[first]
            return first, response

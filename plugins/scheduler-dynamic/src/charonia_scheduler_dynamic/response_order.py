"""Responses in the order of their requests, though several instances make them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from charonia_scheduler_dynamic.stand_in import stand_in

if TYPE_CHECKING:
    from charonia.request import InferenceRequest, InferenceResponse

__all__ = ["ResponseOrder"]


class _Turn:
    """A request's place in the order, and its responses that have come too early."""

    __slots__ = ("early", "request")

    def __init__(self, request: InferenceRequest) -> None:
        self.request = request
        self.early: deque[InferenceResponse] = deque()


class ResponseOrder:
    """Holds each response back until all requests that came before are answered. Any thread may answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._turns: deque[_Turn] = deque()
        self._delivering = False  # whether some thread passes responses on: one does, so that they stay in order

    def follow(self, request: InferenceRequest) -> InferenceRequest:
        """Give a request its place behind all others. What is returned is to be executed in its stead."""
        turn = _Turn(request)
        with self._lock:
            self._turns.append(turn)
        return stand_in(request, request.inputs, lambda response: self._answer(turn, response))

    def forget_last(self) -> None:
        """Take back the place that was given last: the queue has refused the request."""
        with self._lock:
            self._turns.pop()

    def _answer(self, turn: _Turn, response: InferenceResponse) -> None:
        with self._lock:
            turn.early.append(response)
            if self._delivering:
                return
            self._delivering = True
        while (due := self._next()) is not None:
            turn, response = due
            turn.request.respond(response)

    def _next(self) -> tuple[_Turn, InferenceResponse] | None:
        """Give the next response that is due; None, and let others deliver, if it has not been made yet."""
        with self._lock:
            if not self._turns or not self._turns[0].early:
                self._delivering = False
                return None
            turn = self._turns[0]
            response = turn.early.popleft()
            if response.final:
                self._turns.popleft()
            return turn, response

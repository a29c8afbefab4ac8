"""The executions of a request that its model answers in several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """How a request gets back to its scheduler, and how often it has been executed.

    A scheduler that has requests executed several times gives each of them one, as `InferenceRequest.turns`. Then
    `InferenceRequest.reschedule` brings the request back, and it is given out again in a later batch.

    Args:
        take_back: called when the execution gives the request back, on its thread: it must be quick and must not raise.

    Attributes:
        take_back: see above.
        count: how many executions there have been; the one that goes on is among them.
        waiting: whether the request has been given back, and has not been given out again since.
    """

    __slots__ = ("count", "take_back", "waiting")

    def __init__(self, take_back: Callable[[], None]) -> None:
        self.take_back = take_back
        self.count = 1
        self.waiting = False

    def begin(self) -> None:
        """Begin another turn. For the scheduler, when it gives the request out again."""
        self.count += 1
        self.waiting = False

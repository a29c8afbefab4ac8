"""How much of what costs a server more than its client a connection may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_transport_lean.http2.frames import ConnectionFault, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Allowance", "Budget"]

_RESETS = 500, 100.0
_UPKEEP = 10_000, 1_000.0
"""Resets, and frames that bring nothing: how many at once, and how many more in a second."""

_RESETS_FOR_AN_ANSWER, _UPKEEP_FOR_A_MESSAGE = 1.0, 8.0
_BYTES_FOR_UPKEEP = 2048
"""What an answer, or a message of one, is worth, and for how much data a client may open a window once more."""


class Budget:
    """An allowance that is spent, and comes back with time.

    Args:
        most: how much there can be.
        per_second: how much comes back in a second.
        now: the time, in seconds.
    """

    __slots__ = ("_left", "_most", "_per_second", "_then")

    def __init__(self, most: float, per_second: float, now: float) -> None:
        self._most = self._left = most
        self._per_second = per_second
        self._then = now

    def spend(self, now: float) -> bool:
        """Spend one. Tells whether there was one."""
        self._left = min(self._most, self._left + (now - self._then) * self._per_second) - 1
        self._then = now
        return self._left >= 0

    def earn(self, amount: float) -> None:
        """Give something back, for work that was wanted."""
        self._left = min(self._most, self._left + amount)


class Allowance:
    """What one connection may do.

    Args:
        clock: tells the time, in seconds.

    Attributes:
        answers: how many are whole of which no account has been taken yet; counted by whoever sends them, since most are
            followed by nothing that has to be allowed.
    """

    __slots__ = ("_clock", "_resets", "_upkeep", "answers")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.answers = 0
        self._clock = clock
        now = clock()
        self._resets = Budget(*_RESETS, now)
        self._upkeep = Budget(*_UPKEEP, now)

    def spend_reset(self, what: str) -> None:
        """Take note of a request that came to nothing.

        Raises:
            ConnectionFault: there are too many of them.
        """
        self._credit_answers()
        if not self._resets.spend(self._clock()):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what}")

    def spend_upkeep(self, what: str) -> None:
        """Take note of a frame that brings nothing.

        Raises:
            ConnectionFault: there are too many of them.
        """
        self._credit_answers()
        if not self._upkeep.spend(self._clock()):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what}")

    def _credit_answers(self) -> None:
        answers, self.answers = self.answers, 0
        if answers:
            self._resets.earn(_RESETS_FOR_AN_ANSWER * answers)
            self._upkeep.earn(_UPKEEP_FOR_A_MESSAGE * answers)

    def earn_message(self) -> None:
        """Take note that an answer goes on."""
        self._upkeep.earn(_UPKEEP_FOR_A_MESSAGE)

    def earn_data(self, size: int) -> None:
        """Take note of so much data that a client let wait, and took, in bytes."""
        self._upkeep.earn(size / _BYTES_FOR_UPKEEP)

"""How much of what costs a server more than its client a connection may do."""

from __future__ import annotations

__all__ = ["Budget"]


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

"""How long to wait before a process that has ended is started again."""

from __future__ import annotations

__all__ = ["RestartPauses"]

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 30.0
_FORGIVEN_AFTER_SECONDS = 60.0


class RestartPauses:
    """Gives pauses that grow: 0, 0.5, 1, 2, 4, … 30 seconds; from the start again where a process has lived for a minute."""

    def __init__(self) -> None:
        self._pause = 0.0

    def after(self, lived_seconds: float) -> float:
        """Give the pause in seconds after a process that has lived so long; 0 for one that could not even be started."""
        pause = 0.0 if lived_seconds >= _FORGIVEN_AFTER_SECONDS else self._pause
        self._pause = min(max(2 * pause, _FIRST_SECONDS), _LONGEST_SECONDS)
        return pause

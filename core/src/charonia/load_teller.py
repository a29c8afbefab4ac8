"""Telling a listener how loads get on."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from charonia.loader import LoadEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from charonia.loader import Phase

__all__ = ["LoadTeller"]


class LoadTeller:
    """Tells a listener how the load of one model gets on."""

    def __init__(self, name: str, listener: Callable[[LoadEvent], None] | None) -> None:
        self._name = name
        self._listener = listener
        self._begun = time.monotonic()

    def __call__(
        self, phase: Phase, *, version: int | None = None, reason: str = "", errors: Sequence[BaseException] = ()
    ) -> None:
        """Tell the listener of a step, if there is a listener."""
        if self._listener is not None:
            seconds = time.monotonic() - self._begun
            with suppress(Exception):  # a display that fails must not fail the load
                self._listener(LoadEvent(self._name, version, phase, seconds, reason, errors))

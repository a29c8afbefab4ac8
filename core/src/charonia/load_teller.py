"""Telling a listener how loads get on."""

from __future__ import annotations

import enum
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["LoadEvent", "LoadTeller", "Phase"]


class Phase(enum.Enum):
    """What the load of a model is busy with."""

    READING = "reading the configuration"
    LOADING = "loading"
    BRINGING = "bringing files"
    INSTANTIATING = "making instances"
    WARMING = "warming up"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class LoadEvent:
    """A step in the load of a model.

    Attributes:
        model: the model's name.
        version: the version, or None where the step is about all of them.
        phase: what happens now.
        seconds: since the load began.
        reason: why it failed, as the repository's index words it.
        errors: what it failed with, for who wants to tell more: the place in a file, say.
        brought: in the phase BRINGING, how many bytes of the files are here, and how many there are in all.
    """

    model: str
    version: int | None
    phase: Phase
    seconds: float
    reason: str = ""
    errors: Sequence[BaseException] = ()
    brought: tuple[int, int] = (0, 0)


class LoadTeller:
    """Tells a listener how the load of one model gets on.

    Args:
        name: the model's name.
        listener: told each step; None where nobody wants to know.
    """

    def __init__(self, name: str, listener: Callable[[LoadEvent], None] | None = None) -> None:
        self._name = name
        self._listener = listener
        self._begun = time.monotonic()

    def __call__(
        self,
        phase: Phase,
        *,
        version: int | None = None,
        reason: str = "",
        errors: Sequence[BaseException] = (),
        brought: tuple[int, int] = (0, 0),
    ) -> None:
        """Tell the listener of a step, if there is a listener."""
        if self._listener is not None:
            seconds = time.monotonic() - self._begun
            with suppress(Exception):  # a display that fails must not fail the load
                self._listener(LoadEvent(self._name, version, phase, seconds, reason, errors, brought))

"""Telling a listener how loads get on, or where there is none, the log how they end."""

from __future__ import annotations

import enum
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.errors import ConfigError
from charonia.log_line import in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["LoadEvent", "LoadTeller", "Phase", "log_end"]

_log = logging.getLogger(__name__)


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
        listener: told each step; the log is told the end if not given.
    """

    def __init__(self, name: str, listener: Callable[[LoadEvent], None] | None = None) -> None:
        self._name = name
        self._listener = listener or log_end
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
        """Tell the listener of a step."""
        seconds = time.monotonic() - self._begun
        with suppress(Exception):  # a display that fails must not fail the load
            self._listener(LoadEvent(self._name, version, phase, seconds, reason, errors, brought))


def log_end(event: LoadEvent) -> None:
    """Tell the log of a step that is the end of a load, and pass over the others."""
    if event.phase is Phase.READY:
        _log.info('model "%s" is ready, after %.1f s', in_one_line(event.model), event.seconds)
    elif event.phase is Phase.FAILED:
        _log.error('model "%s" failed to load: %s', in_one_line(event.model), in_one_line(_why(event)))


def _why(event: LoadEvent) -> str:
    """Word why a load failed, with the places in a configuration, which the index does not tell."""
    if event.errors and all(isinstance(error, ConfigError) for error in event.errors):
        return "; ".join(dict.fromkeys(line for error in event.errors for line in str(error).splitlines()))
    return event.reason.rstrip()

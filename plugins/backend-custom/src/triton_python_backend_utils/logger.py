"""A model's lines in the server's log."""

from __future__ import annotations

import enum
import logging
from typing import ClassVar

from triton_python_backend_utils.place import calling_model

__all__ = ["Logger"]

_FRAMES = 3  # this module's two, and the one that logs


class LogLevel(enum.IntEnum):
    """How grave a line is."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    VERBOSE = 3


_LEVELS = {
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
    LogLevel.VERBOSE: logging.DEBUG,
}


class Logger:
    """Writes to the logger `charonia.model.<model>` of the standard library, with the model's own file and line.

    From any thread. A model may as well use `logging` itself; on threads of its own, such records do not tell the model.
    """

    LogLevel = LogLevel
    INFO: ClassVar = LogLevel.INFO
    WARNING: ClassVar = LogLevel.WARNING
    ERROR: ClassVar = LogLevel.ERROR
    VERBOSE: ClassVar = LogLevel.VERBOSE

    @staticmethod
    def log(message: str, level: int = LogLevel.INFO) -> None:
        """Write a line of that level."""
        _write(_LEVELS[LogLevel(level)], message)

    @staticmethod
    def log_info(message: str) -> None:
        """Write a line of information."""
        _write(logging.INFO, message)

    @staticmethod
    def log_warn(message: str) -> None:
        """Write a warning."""
        _write(logging.WARNING, message)

    @staticmethod
    def log_error(message: str) -> None:
        """Write an error."""
        _write(logging.ERROR, message)

    @staticmethod
    def log_verbose(message: str) -> None:
        """Write a line that is only shown where the log is verbose."""
        _write(logging.DEBUG, message)


def _write(level: int, message: str) -> None:
    place = calling_model()
    name = "charonia.model" if place is None else f"charonia.model.{place.name}"
    told = None if place is None else {"model": place.name, "version": place.version}
    logging.getLogger(name).log(level, "%s", message, extra=told, stacklevel=_FRAMES)

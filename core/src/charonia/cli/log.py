"""The server's log: one line for each record, on stderr."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from charonia.log_settings import LogSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charonia.log_settings import LogSetting

__all__ = ["logging_to_stderr"]


class _StderrHandler(logging.Handler):
    """Writes to whatever stderr is at the time, since the live table puts itself before it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers: a log that fails must not fail what it tells about
            self.handleError(record)


@contextmanager
def logging_to_stderr(setting: LogSetting) -> Iterator[LogSettings]:
    """Log to stderr for the time of the block, and give the settings by which that can be changed."""
    root = logging.getLogger()
    settings = LogSettings(setting, root)
    handler = _StderrHandler()
    handler.addFilter(settings.passes)
    handler.setFormatter(settings.formatter)
    settings.apply()
    root.addHandler(handler)
    try:
        yield settings
    finally:
        root.removeHandler(handler)
        settings.close()

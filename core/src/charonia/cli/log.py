"""The server's log: one line for each record, on stderr or in a file."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, suppress
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING

from charonia.access_log import MORE
from charonia.cli.exit_codes import CommandError
from charonia.log_settings import LogSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charonia.log_settings import LogSetting

__all__ = ["writing_log"]


class _StderrHandler(logging.Handler):
    """Writes to whatever stderr is at the time, since the live table puts itself before it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            if not _more_follow(record):
                sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers: a log that fails must not fail what it tells about
            self.handleError(record)


class _FileHandler(WatchedFileHandler):
    """Writes to a file. One that was moved away is made anew, so that logs can be rotated.

    Where it cannot be written, lines are lost: a log that fails must not fail what it tells about. Stderr says so, once until
    lines are written again.
    """

    _held = False
    _lost = False
    _told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._held = _more_follow(record)
        self._lost = False
        try:
            if not self._held:
                self.reopenIfNeeded()
            logging.FileHandler.emit(self, record)
        except OSError:
            self.handleError(record)
        self._told = self._told and (self._lost or self._held)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Tell of a record that is lost."""
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._lost = True
        if not self._told:
            self._told = True
            with suppress(Exception):  # stderr may lead to the same disk
                sys.stderr.write(f"charonia: the log cannot be written, and lines are lost: {error}\n")

    def flush(self) -> None:
        """Have what was written in the file, save where more is written at once."""
        if not self._held:
            super().flush()


def _more_follow(record: logging.LogRecord) -> bool:
    return getattr(record, MORE, False)


def _handler(file: str) -> logging.Handler:
    """Make what writes."""
    if not file:
        return _StderrHandler()
    try:
        return _FileHandler(file, encoding="utf-8", errors="backslashreplace")  # as stderr
    except OSError as error:
        raise CommandError(
            f"the log cannot be written to {file}: {error.strerror}; --log-file names a file in a directory that exists"
        ) from error


@contextmanager
def writing_log(setting: LogSetting) -> Iterator[LogSettings]:
    """Write the log for the time of the block, Python's own warnings included, and give the settings by which it can be changed.

    Raises:
        CommandError: its file cannot be opened.
    """
    root = logging.getLogger()
    settings = LogSettings(setting, root)
    handler = _handler(setting.file)
    handler.addFilter(settings.passes)
    handler.setFormatter(settings.formatter)
    settings.apply()
    root.addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield settings
    finally:
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)
        with suppress(OSError):  # it has said so already
            handler.close()
        settings.close()

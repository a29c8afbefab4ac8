"""The server's log: one line for each record, on stderr."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["logging_to_stderr"]

_FORMAT = "%(levelname).1s %(asctime)s.%(msecs)03d %(name)s: %(message)s"
_TIME = "%H:%M:%S"


class _StderrHandler(logging.Handler):
    """Writes to whatever stderr is at the time, since the live table puts itself before it."""

    def __init__(self, levels: frozenset[int]) -> None:
        super().__init__()
        self._levels = levels
        self.setFormatter(logging.Formatter(_FORMAT, _TIME))

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through the records whose level is switched on."""
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.ERROR)
        return level in self._levels

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers: a log that fails must not fail what it tells about
            self.handleError(record)


@contextmanager
def logging_to_stderr(*, verbose: int, info: bool, warning: bool, error: bool) -> Iterator[None]:
    """Log to stderr for the time of the block.

    Args:
        verbose: 1 and more switches details on.
        info: whether records of level INFO are shown; `warning` and `error` likewise, each by itself, as in the reference.
        warning: see info.
        error: see info.
    """
    switches = {logging.DEBUG: verbose > 0, logging.INFO: info, logging.WARNING: warning, logging.ERROR: error}
    handler = _StderrHandler(frozenset(level for level, on in switches.items() if on))
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)

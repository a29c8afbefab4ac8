"""What a model in a process of its own logs, in the server's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from charonia.executing import EXECUTING, NOTHING

if TYPE_CHECKING:
    from charonia_backend_custom.process.messages import LogLine
    from charonia_backend_custom.running import Running

__all__ = ["log_line"]


def log_line(line: LogLine, running: Running | None) -> None:
    """Log a line as if the model had done so on this thread while it executed the batch, so that its requests are told.

    Args:
        line: what came from the process.
        running: the batch that the line is about, where that is known and still in progress.
    """
    record = logging.makeLogRecord(line.record)
    logger = logging.getLogger(record.name)
    if not logger.isEnabledFor(record.levelno):
        return
    executing = EXECUTING.set(NOTHING if running is None else (running.requests, running.seat.version))
    try:
        logger.handle(record)
    finally:
        EXECUTING.reset(executing)

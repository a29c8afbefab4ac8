"""What is logged, and how times look in it: settings that hold at once, for the log of the whole process.

    handler.addFilter(settings.passes)
    handler.setFormatter(settings.formatter)

The settings move the level of one logger, so that details which nobody wants cost nothing, and tell a handler which records
pass. Kinds of records can be switched off each by itself, as in the reference, which no level could express.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia.executing import EXECUTING
from charonia.log_line import in_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOG_FORMATS", "LogSetting", "LogSettings"]

LOG_FORMATS = ("default", "ISO8601", "JSON")
"""How a record may be written: with the time of the day, to the millisecond; with the date, in UTC; or as a JSON object."""

_RECORD_FIELDS = ("model", "version", "request_id", "trace_id", "status", "total_us", "queue_us", "compute_us")
"""What JSON has of a record beside what every record has, where it has it."""

_SILENT = logging.CRITICAL + 1
_MAX_LEVEL = 2**32 - 1
_NAMES = {
    "log_info": "info",
    "log_warning": "warning",
    "log_error": "error",
    "log_verbose_level": "verbose_level",
    "log_format": "format",
}
"""What can be changed over the network, by the protocol's names."""


@dataclass(frozen=True)
class LogSetting:
    """What is logged.

    Attributes:
        info: whether records of level INFO are; `warning` and `error` likewise, each by itself.
        warning: see info.
        error: see info; CRITICAL counts as ERROR.
        verbose_level: 1 and more switches DEBUG on.
        format: one of `LOG_FORMATS`.
        file: the path of the file that the log is appended to; "" for stderr. Nobody can change it.
    """

    info: bool = True
    warning: bool = True
    error: bool = True
    verbose_level: int = 0
    format: str = "default"
    file: str = ""

    def describe(self) -> dict[str, bool | int | str]:
        """Give them by the protocol's names, in the reference's order."""
        return {"log_file": self.file, **{name: getattr(self, attribute) for name, attribute in _NAMES.items()}}

    def passes(self, level: int) -> bool:
        """Tell whether records of a level are logged."""
        if level >= logging.ERROR:
            return self.error
        if level >= logging.WARNING:
            return self.warning
        return self.info if level >= logging.INFO else self.verbose_level > 0

    @property
    def threshold(self) -> int:
        """The lowest level that is logged."""
        levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
        return next((level for level in levels if self.passes(level)), _SILENT)


class LogSettings:
    """The settings of a log, which may be changed while it is written. Its methods may be called from any thread.

    Args:
        setting: what holds at first.
        logger: the logger whose level follows each change; `charonia` if not given. At first it is left alone.

    Attributes:
        formatter: writes records in the format that holds at the time.
    """

    def __init__(self, setting: LogSetting | None = None, logger: logging.Logger | None = None) -> None:
        self._setting = LogSetting() if setting is None else setting
        self._logger = logging.getLogger("charonia") if logger is None else logger
        self._level_before: int | None = None  # known once the level has been changed
        self._lock = threading.Lock()  # lets changes come one after the other
        self.formatter: logging.Formatter = _Formatter(self)

    def get(self) -> LogSetting:
        """Give the settings."""
        return self._setting

    def passes(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be logged: a filter for handlers."""
        return self._setting.passes(record.levelno)

    def apply(self) -> None:
        """Set the logger's level."""
        if self._level_before is None:
            self._level_before = self._logger.level
        self._logger.setLevel(self._setting.threshold)

    def update(self, changes: Mapping[str, object]) -> LogSetting:
        """Change settings: all that are told, or on an error none.

        Args:
            changes: the protocol's names with their values; None leaves a setting as it is. Other names are passed over.

        Returns:
            All settings as they are now.

        Raises:
            UnsupportedError: the log's file cannot be changed so.
            InvalidArgumentError: a value has the wrong type, or is no format; with the reference's texts.
        """
        if changes.get("log_file") is not None:
            raise UnsupportedError("log file location can not be updated through network protocol")
        told: dict[str, Any] = {
            attribute: _checked(name, changes[name])
            for name, attribute in _NAMES.items()
            if changes.get(name) is not None
        }
        with self._lock:
            self._setting = replace(self._setting, **told)
            if told:
                self.apply()
            return self._setting

    def close(self) -> None:
        """Give the logger the level back that it had. Idempotent."""
        if self._level_before is not None:
            self._logger.setLevel(self._level_before)
            self._level_before = None


def _checked(name: str, value: object) -> bool | int | str:
    if name == "log_format":
        if not isinstance(value, str):
            raise InvalidArgumentError(f"expect string for '{name}'")
        if value not in LOG_FORMATS:
            raise InvalidArgumentError(f"invalid argument for {name}, got: {value}")
        return value
    if name == "log_verbose_level":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_LEVEL:
            raise InvalidArgumentError(f"expect int32 for '{name}'")
        return value
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"expect boolean for '{name}'")
    return value


class _Formatter(logging.Formatter):
    """Writes the level's first letter, the time, the logger, the message, and the requests that it is about."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__("%(levelname).1s %(asctime)s %(name)s: %(message)s")
        self._settings = settings

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return _json(record) if self._settings.get().format == "JSON" else super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Write a record up to its traceback."""
        told = in_one_line(" ".join([f"{name}={value}" for name, value in _executed().items()]))
        return super().formatMessage(record) + (f" [{told}]" if told else "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's own name
        """Write a record's time."""
        if self._settings.get().format == "ISO8601":
            return _date_and_time(record)
        return f"{_time_of_day(int(record.created))}.{int(record.msecs):03d}"


def _date_and_time(record: logging.LogRecord) -> str:
    return f"{_date_and_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(1)  # of many records in one second all but one find it
def _time_of_day(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


@lru_cache(1)
def _date_and_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _json(record: logging.LogRecord) -> str:
    """Write a record as an object: what every record has, what it was given, and the requests that its thread executes."""
    document = {
        "time": _date_and_time(record),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
        **{name: _plain(getattr(record, name)) for name in _RECORD_FIELDS if hasattr(record, name)},
        **_executed(),
    }
    if record.exc_text:  # one from another process has nothing else
        document["exception"] = record.exc_text
    elif record.exc_info:
        document["exception"] = logging.Formatter().formatException(record.exc_info)
    if record.stack_info:
        document["stack"] = record.stack_info
    return json.dumps(document)


def _plain(value: object) -> str | int | None:
    """Give what somebody's code put into a record as something that JSON has."""
    return value if isinstance(value, str | int | None) else str(value)


def _executed() -> dict[str, object]:
    requests, version = EXECUTING.get()
    if not requests:
        return {}
    told: dict[str, object] = {"model": requests[0].model_name, "version": version}
    names = [request.id for request in requests if request.id]
    traces = [request.trace.id for request in requests if request.trace is not None]
    return (
        told | ({"request_id": ",".join(names)} if names else {}) | ({"trace_id": ",".join(traces)} if traces else {})
    )

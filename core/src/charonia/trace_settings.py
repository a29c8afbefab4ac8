"""The trace settings: those of the server, and those of a model where it has its own.

They are kept, checked and told as in the reference. In the mode `triton`, a level other than OFF needs a trace file, which only
the server's owner can give, as the mode and the options of other modes.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["FILE_MODE", "LEVELS", "TraceSetting", "TraceSettings"]

LEVELS = ("TIMESTAMPS", "TENSORS")
"""What may be traced, in the reference's order."""

FILE_MODE = "triton"
"""The mode that writes a file."""

_MAX_UINT32 = 2**32 - 1
_MAX_INT32 = 2**31 - 1
_FIELDS = {"trace_level": "level", "trace_rate": "rate", "trace_count": "count", "log_frequency": "log_frequency"}
"""What can be changed over the network, by the protocol's names."""


@dataclass(frozen=True)
class TraceSetting:
    """All settings that hold somewhere.

    Attributes:
        level: what is traced: "TIMESTAMPS", "TENSORS", both in this order, or nothing.
        rate: one request of this many is traced.
        count: how many more requests are traced; -1 is any number.
        log_frequency: after how many traces a file is ended; 0 is never.
        file: where the mode "triton" writes them; "" if nowhere.
        mode: what becomes of them: a plugin's name for it, or "triton".
        options: what belongs to that mode alone, as names and values; a name may come several times.
    """

    level: tuple[str, ...] = ()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0
    file: str = ""
    mode: str = FILE_MODE
    options: tuple[tuple[str, str], ...] = ()

    @property
    def lacks_file(self) -> bool:
        """Whether something is to be written to a file, and there is none."""
        return bool(self.level) and self.mode == FILE_MODE and not self.file

    @property
    def problem(self) -> str:
        """Why nothing would come of what is traced, in the reference's words; "" if it will."""
        if self.lacks_file:
            return "trace file name is not given"
        return "sample rate must be non-zero" if self.level and self.mode == FILE_MODE and not self.rate else ""

    def describe(self) -> dict[str, list[str]]:
        """Give them in the protocol's form: each name with its values, in the reference's order."""
        told = {
            "trace_level": list(self.level) or ["OFF"],
            "trace_rate": [str(self.rate)],
            "trace_count": [str(self.count)],
        }
        if self.mode == FILE_MODE:
            told |= {"log_frequency": [str(self.log_frequency)], "trace_file": [self.file]}
        return {**told, "trace_mode": [self.mode], **{name: [value] for name, value in self.options}}


class TraceSettings:
    """The trace settings of a server. Its methods may be called from any thread.

    A model has the server's settings, save those that were set for it; those that were set nowhere are the defaults.

    Args:
        defaults: what holds if nobody changed it.
    """

    def __init__(self, defaults: TraceSetting | None = None) -> None:
        self._defaults = TraceSetting() if defaults is None else defaults
        self._lock = threading.Lock()  # guards `_changed`
        self._changed: dict[str, dict[str, Any]] = {}

    def get(self, model: str = "") -> TraceSetting:
        """Give the settings of a model, or with "" those of the server."""
        with self._lock:
            return self._effective(self._changed, model)

    def scopes(self) -> dict[str, TraceSetting]:
        """Give the settings of the server, by "", and those of each model that has some of its own, by its name."""
        with self._lock:
            return {scope: self._effective(self._changed, scope) for scope in {"": None, **self._changed}}

    def update(self, changes: Mapping[str, Sequence[str] | None], model: str = "") -> TraceSetting:
        """Change settings of a model, or with "" those of the server: all that are told, or on an error none.

        Args:
            changes: the protocol's names with their values; None takes a change back. Other names are passed over, and other
                levels: where there is no known one, the level stays what it is.
            model: the model's name; whether it exists is the caller's care.

        Returns:
            All settings of the model, or of the server, as they are now.

        Raises:
            UnsupportedError: the trace file cannot be changed so.
            InvalidArgumentError: a value is wrong, or a level is on that would never be written; with the reference's texts.
        """
        if "trace_file" in changes:
            raise UnsupportedError("trace file location can not be updated through network protocol")
        parsed = {
            _FIELDS[name]: None if values is None else _PARSERS[name](name, values)
            for name, values in changes.items()
            if name in _FIELDS and not _names_no_level(name, values)
        }
        with self._lock:
            own = {**self._changed.get(model, {}), **parsed}
            changed = {**self._changed, model: {name: value for name, value in own.items() if value is not None}}
            if not changed[model]:
                del changed[model]
            for affected in (model,) if model else {"", *changed}:
                if problem := self._effective(changed, affected).problem:
                    raise InvalidArgumentError(f"Attempting to set invalid trace setting :{problem}")
            self._changed = changed
            return self._effective(changed, model)

    def _effective(self, changed: Mapping[str, Mapping[str, Any]], model: str) -> TraceSetting:
        values = {**changed.get("", {}), **changed.get(model, {})}
        return replace(self._defaults, **values)


def _names_no_level(name: str, values: Sequence[str] | None) -> bool:
    return name == "trace_level" and values is not None and not {*LEVELS, "OFF"}.intersection(values)


def _level(_name: str, values: Sequence[str]) -> tuple[str, ...]:
    """Read levels; as in the reference, unknown ones are passed over."""
    if "OFF" in values and len(values) > 1:
        raise InvalidArgumentError("Expect only one trace level 'OFF' is specified")
    return tuple(level for level in LEVELS if level in values)


def _number(low: int, high: int) -> Callable[[str, Sequence[str]], int]:
    def read(name: str, values: Sequence[str]) -> int:
        if len(values) != 1:
            raise InvalidArgumentError(f"expect only 1 value for '{name}'")
        (text,) = values
        match = re.fullmatch(r"\s*([+-]?)0*([0-9]+)", text, re.ASCII)
        if match is None:
            raise InvalidArgumentError(f"Unable to parse '{name}', got: {text}")
        digits = match[2] if len(match[2]) <= len(str(_MAX_UINT32)) else str(2 * _MAX_UINT32)
        number = int(match[1] + digits)
        if low < 0 and -_MAX_INT32 <= number < low:
            raise InvalidArgumentError(f"Unable to parse '{name}'. Expecting value >= {low}, got: {text}")
        if not low <= number <= high:
            raise InvalidArgumentError(
                f"Unable to parse '{name}', value is out of range [ {low}, {high} ], got: {text}"
            )
        return number

    return read


_PARSERS: Mapping[str, Callable[[str, Sequence[str]], object]] = {
    "trace_level": _level,
    "trace_rate": _number(0, _MAX_UINT32),
    "trace_count": _number(-1, _MAX_INT32),
    "log_frequency": _number(0, _MAX_UINT32),
}

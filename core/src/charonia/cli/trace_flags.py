"""`--trace-config`: which requests are traced from the start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charonia.cli.flags import Flag
from charonia.trace_settings import FILE_MODE, LEVELS, TraceSetting

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["trace_flags", "trace_setting"]

_NUMBERS = {"rate": 0, "count": -1, "log-frequency": 0}
"""The settings that are numbers, and the least that each may be."""


def trace_flags() -> list[Flag]:
    """Make the flag."""
    return [
        Flag(
            "trace-config",
            "Tracing",
            type=_setting,
            multiple=True,
            metavar="[MODE,]NAME=VALUE",
            help="Trace requests: level=TIMESTAMPS or TENSORS, rate=N for one request of N, count=N for so many, and "
            "mode=MODE: triton, with file=FILE and log-frequency=N for files of N traces each, or a plugin's, such as "
            "opentelemetry,url=URL. May come several times.",
        )
    ]


def trace_setting(settings: Sequence[tuple[str, str, str]]) -> TraceSetting:
    """Put together what the flag was told; of two numbers of the same name the later wins, and levels add up.

    Without a mode, it is that of the one plugin which got a setting, and else the mode `triton`.

    Args:
        settings: modes, names and values; settings of every mode have the mode `triton`.

    Raises:
        click.UsageError: a level is on, and there is no file; or no directory for it.
    """
    own = [(name, value) for mode, name, value in settings if mode == FILE_MODE]
    values: dict[str, Any] = {}
    for name, value in own:
        if name in _NUMBERS:
            values[name.replace("-", "_")] = int(value)
        elif name in {"file", "mode"}:
            values[name] = value
    levels = [value for name, value in own if name == "level"]
    modes = {mode for mode, _, _ in settings} - {FILE_MODE}
    mode = values.setdefault("mode", modes.pop() if len(modes) == 1 else FILE_MODE)
    setting = TraceSetting(
        level=() if "OFF" in levels else tuple(level for level in LEVELS if level in levels),
        options=tuple((name, value) for told, name, value in settings if told == mode != FILE_MODE),
        **values,
    )
    if setting.lacks_file:
        raise click.UsageError("--trace-config=level=… needs a file to write to: add --trace-config=triton,file=FILE")
    if not Path(setting.file).parent.is_dir():
        raise click.UsageError(
            f"--trace-config=triton,file={setting.file} has no directory: name a file in a directory that exists"
        )
    return setting


def _setting(text: str) -> tuple[str, str, str]:
    """Take `MODE,NAME=VALUE` or `NAME=VALUE` apart. What belongs to a plugin's mode is the plugin's to judge.

    Raises:
        click.BadParameter: it is neither, or has a value that cannot be.
    """
    mode, comma, rest = text.partition(",")
    if "=" in mode or not comma:
        mode, rest = FILE_MODE, text
    name, equals, value = (part.strip() for part in rest.partition("="))
    if not (name and equals and value):
        raise click.BadParameter(
            f"--trace-config option format is <mode>,<setting>=<value> or <setting>=<value>. Got {text}"
        )
    if mode == FILE_MODE:
        _check(text, name, value)
    return mode, name, value


def _check(text: str, name: str, value: str) -> None:
    known = (*_NUMBERS, "level", "file", "mode")
    if name not in known:
        raise click.BadParameter(f"{text!r}: there is no setting {name!r}. There are {', '.join(known)}.")
    if name == "level" and value not in {*LEVELS, "OFF"}:
        raise click.BadParameter(f"{text!r}: a level is one of {', '.join((*LEVELS, 'OFF'))}.")
    if name in _NUMBERS and not (value.removeprefix("-").isdecimal() and int(value) >= _NUMBERS[name]):
        raise click.BadParameter(f"{text!r}: expected a whole number from {_NUMBERS[name]} up.")

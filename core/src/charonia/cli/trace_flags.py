"""`--trace-config`: which requests are traced from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from charonia.cli.flags import Flag
from charonia.trace_settings import LEVELS, TraceSetting

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
            metavar="[triton,]NAME=VALUE",
            help="Trace requests: file=FILE, level=TIMESTAMPS or TENSORS, rate=N for one request of N, count=N for so many, "
            "log-frequency=N for files of N traces each. May come several times.",
        )
    ]


def trace_setting(settings: Sequence[tuple[str, str]]) -> TraceSetting:
    """Put together what the flag was told; of two numbers of the same name the later wins, and levels add up.

    Raises:
        click.UsageError: a level is on, and there is no file.
    """
    values: dict[str, Any] = {}
    levels = [value for name, value in settings if name == "level"]
    for name, value in settings:
        if name in _NUMBERS:
            values[name.replace("-", "_")] = int(value)
        elif name == "file":
            values["file"] = value
    level = () if "OFF" in levels else tuple(level for level in LEVELS if level in levels)
    if level and not values.get("file"):
        raise click.UsageError("--trace-config=level=… needs a file to write to: add --trace-config=triton,file=FILE")
    return TraceSetting(level=level, **values)


def _setting(text: str) -> tuple[str, str]:
    """Take `triton,NAME=VALUE` or `NAME=VALUE` apart.

    Raises:
        click.BadParameter: it is neither, or has a value that cannot be.
    """
    mode, comma, rest = text.partition(",")
    if "=" in mode or not comma:
        mode, rest = "triton", text
    name, equals, value = (part.strip() for part in rest.partition("="))
    if not (name and equals and value):
        raise click.BadParameter(
            f"--trace-config option format is <mode>,<setting>=<value> or <setting>=<value>. Got {text}"
        )
    mode = value if name == "mode" else mode
    if mode != "triton":
        raise click.BadParameter(f"{text!r}: the mode {mode!r} is not there, only 'triton', which writes a file.")
    known = (*_NUMBERS, "level", "file", "mode")
    if name not in known:
        raise click.BadParameter(f"{text!r}: there is no setting {name!r}. There are {', '.join(known)}.")
    if name == "level" and value not in {*LEVELS, "OFF"}:
        raise click.BadParameter(f"{text!r}: a level is one of {', '.join((*LEVELS, 'OFF'))}.")
    if name in _NUMBERS and not (value.removeprefix("-").isdecimal() and int(value) >= _NUMBERS[name]):
        raise click.BadParameter(f"{text!r}: expected a whole number from {_NUMBERS[name]} up.")
    return name, value

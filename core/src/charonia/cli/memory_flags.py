"""`--memory-budget`: how much memory the models may take together."""

from __future__ import annotations

import re

import click

from charonia.cli.flags import MODELS, Flag

__all__ = ["memory_flags"]

_UNITS: dict[str, int] = {"": 1, "b": 1} | {
    unit.lower(): size
    for power, letter in enumerate("KMGT", start=1)
    for unit, size in ((f"{letter}B", 1000**power), (f"{letter}iB", 1024**power))
}


def memory_flags() -> list[Flag]:
    """Make the flags."""
    return [
        Flag(
            "memory-budget",
            MODELS,
            type=byte_size,
            default="0",
            metavar="SIZE",
            help="How much memory all models may take together, such as 4GiB, or a number of bytes. Each is loaded at its first "
            "request then, and what was used least lately goes when there is no room. 0 is no limit.",
        ),
        Flag(
            "memory-wait-secs",
            MODELS,
            type=click.FloatRange(min=0),
            default=30,
            metavar="SECONDS",
            help="How long requests wait for room in the memory budget while every model there is in use.",
        ),
    ]


def byte_size(text: str | int) -> int:
    """Take a size such as `4GiB`, `500 MB` or `1000000` as a number of bytes.

    Raises:
        click.BadParameter: it is none.
    """
    if isinstance(text, int):  # click converts what it has converted once more
        return text
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower(), re.ASCII)
    if not found or found[2] not in _UNITS:
        raise click.BadParameter(f"{text!r} is no size, such as 4GiB, 500MB or 1000000.")
    return int(float(found[1]) * _UNITS[found[2]])

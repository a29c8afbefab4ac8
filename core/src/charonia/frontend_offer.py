"""What a plugin tells of its frontend, without importing it: where its class is, and the options that it takes; reading these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from charonia.errors import CharoniaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FrontendOffer", "FrontendOption", "OptionValue", "read_lines", "read_port", "read_whole_number"]

_MAX_PORT = 65_535
_MAX_INT = 2_147_483_647

OptionValue: TypeAlias = str | int | float | bool
"""What an option of a frontend can be."""


@dataclass(frozen=True)
class FrontendOption:
    """An option of a frontend, for the command line, the server's config file and the environment.

    Attributes:
        name: as on the command line, without the dashes: `http-port`. Use the reference's name where it has one.
        default: its value where it is not given; its type is the option's type.
        help: a sentence for a newcomer.
        repeatable: whether it may come several times. It is text then, without a default, and the frontend gets all that was
            given as one text, with a line for each.
    """

    name: str
    default: OptionValue
    help: str
    repeatable: bool = False


@dataclass(frozen=True)
class FrontendOffer:
    """What a frontend plugin offers: where its class is, and the options that it takes, known without importing it.

    Attributes:
        path: "module:Class" of a `charonia.frontend.Frontend`.
        options: all that can be set; the frontend gets every one of them, by name.
    """

    path: str
    options: Sequence[FrontendOption] = ()


def read_lines(options: Mapping[str, OptionValue], name: str) -> list[str]:
    """Read all that was given for an option that may come several times."""
    told = str(options[name])
    return told.split("\n") if told else []


def read_whole_number(options: Mapping[str, OptionValue], name: str, *, least: int = 0, most: int = _MAX_INT) -> int:
    """Read an option.

    Raises:
        CharoniaError: it is too small or too large.
    """
    value = int(options[name])
    if not least <= value <= most:
        raise CharoniaError(f"--{name}={value}: expected a whole number from {least} to {most}")
    return value


def read_port(options: Mapping[str, OptionValue], name: str) -> int:
    """Read the port at which a frontend is to listen; 0 is any free one. Raises CharoniaError: there is no such port."""
    return read_whole_number(options, name, most=_MAX_PORT)

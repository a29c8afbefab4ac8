"""From the names in a configuration to places among a program's arguments or results, by the reference's rules.

1. All names are the program's own.
2. All names end in `__` and a number, which is the place: `INPUT__0`.
3. Else the order in the configuration is the order of the places.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["Rule", "indices_of"]


class Rule(enum.Enum):
    """By what the places were found."""

    NAME = enum.auto()
    NUMBER = enum.auto()
    ORDER = enum.auto()


def indices_of(names: Sequence[str], known: Sequence[Collection[str]]) -> tuple[list[int], Rule]:
    """Find the index of the place of each name, and tell by which rule. An index may be beyond the places that there are.

    Args:
        names: those of the configuration, in its order.
        known: the names that each place goes by.
    """
    by_name = {name: index for index, aliases in enumerate(known) for name in aliases}
    if all(name in by_name for name in names):
        return [by_name[name] for name in names], Rule.NAME
    numbers = [name.partition("__")[2] for name in names]
    if all(number.isascii() and number.isdecimal() for number in numbers):
        return [int(number) for number in numbers], Rule.NUMBER
    return list(range(len(names))), Rule.ORDER

"""Parts of the protocol that are kept for callers who know a key.

An operator says it in one line for each group: `<category>[,<category>…]:<key>=<value>`. Where a request carries the key, and
in what form, is its frontend's affair.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CATEGORIES", "Restriction", "read_restrictions"]

CATEGORIES = (
    "health",
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)
"""The parts of the protocol that can be restricted, by the reference's names."""


@dataclass(frozen=True)
class Restriction:
    """What a caller must know.

    Attributes:
        key: the name under which a request carries the value.
        value: the value, which must be equal to the letter.
    """

    key: str
    value: str

    def admits(self, value: str | None) -> bool:
        """Tell whether a request that carries this value may go on. Takes equally long for every wrong value of one length."""
        return value is not None and hmac.compare_digest(_as_bytes(value), _as_bytes(self.value))


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def read_restrictions(lines: Iterable[str], option: str) -> Mapping[str, Restriction]:
    """Read what an operator restricts, by category.

    Args:
        lines: one for each group.
        option: the option that gave them, for errors: `--http-restricted-api`.

    Raises:
        CharoniaError: a line has not that form, or a category is unknown or stands in two groups.
    """
    restrictions: dict[str, Restriction] = {}
    for line in lines:
        names, colon, pair = line.partition(":")
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not (colon and equals and key):
            raise CharoniaError(f"{option}={line}: expected <category>[,<category>...]:<key>=<value>")
        for name in (name.strip() for name in names.split(",")):
            if name not in CATEGORIES:
                raise CharoniaError(
                    f"{option}={line}: {name!r} is no part of the protocol; expected one of {', '.join(CATEGORIES)}"
                )
            if name in restrictions:
                raise CharoniaError(f"{option}={line}: {name!r} is restricted already; a category has one key")
            restrictions[name] = Restriction(key, value)
    return restrictions

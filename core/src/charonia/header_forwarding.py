"""Header fields of a request that its frontend passes on to the model, as parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HeaderForwarding"]

_KEEPS_CASE = "(?-i)"
_RESERVED = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "binary_data_output", "headers"}
)


class HeaderForwarding:
    """Chooses header fields by their names.

    Args:
        pattern: a regular expression that is looked for anywhere in a name. As in the reference, case does not matter unless
            the pattern begins with `(?-i)`.
        option: the option that gave it, for errors: `--http-header-forward-pattern`.

    Raises:
        CharoniaError: the pattern is no regular expression.
    """

    def __init__(self, pattern: str, option: str) -> None:
        flags = 0 if pattern.startswith(_KEEPS_CASE) else re.IGNORECASE
        try:
            self._pattern = re.compile(pattern.removeprefix(_KEEPS_CASE), flags)
        except re.error as error:
            raise CharoniaError(f"{option}={pattern}: this is no regular expression: {error}") from error

    def parameters(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Give the chosen fields by name, with the case in which they came.

        Raises:
            InvalidArgumentError: a name means something to the server, as a parameter of that name does.
        """
        chosen = {name: value for name, value in headers.items() if self._pattern.search(name)}
        for name in chosen:
            if name.lower() in _RESERVED or name.lower().startswith("triton_"):
                raise InvalidArgumentError(f"Header '{name}' is reserved for Triton usage and cannot be forwarded.")
        return chosen

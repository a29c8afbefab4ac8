"""The list that the checks of a configuration write to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Problems"]


class Problems:
    """Collects what is wrong with one model's configuration.

    Args:
        model: the model's name.
        places: field path → line.

    Attributes:
        model: the model's name.
        found: the problems so far.
    """

    def __init__(self, model: str, places: Mapping[str, int]) -> None:
        self.found: list[ConfigProblem] = []
        self.model = model
        self._places = places

    def add(self, text: str, field: str, *, found: object = "", expected: str = "", hint: str = "") -> None:
        """Add a problem whose text ends, as most of the reference's do, in "for MODEL"."""
        self.add_whole(f"{text} for {self.model}", field, found=found, expected=expected, hint=hint)

    def add_whole(self, text: str, field: str, *, found: object = "", expected: str = "", hint: str = "") -> None:
        """Add a problem whose text is complete."""
        line = _line_of(field, self._places)
        self.found.append(ConfigProblem(text, field, str(found), expected, hint, line))


def _line_of(path: str, places: Mapping[str, int]) -> int:
    """Find the line of a field, else of the nearest thing around it that was written; 0 where no line is known."""
    while path:
        if path in places:
            return places[path]
        path = path[: max(path.rfind("."), path.rfind("["))] if "." in path or "[" in path else ""
    return 0

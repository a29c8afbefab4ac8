"""The header fields of a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, overload

__all__ = ["Headers"]

T = TypeVar("T")


class Headers(Mapping[str, str]):
    """Header fields by name, whose case is ignored. Fields of the same name are one list, as RFC 9110, 5.3, has it.

    Args:
        fields: names and values, as sent.
    """

    __slots__ = ("_names", "_values")

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._names: list[str] = []
        self._values: dict[str, str] = {}
        for name, value in fields:
            key = name.lower()
            if key in self._values:
                self._values[key] += f"{'; ' if key == 'cookie' else ', '}{value}"
            else:
                self._values[key] = value
                self._names.append(name)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...
    @overload
    def get(self, name: str, default: T, /) -> str | T: ...
    def get(self, name: str, default: object = None, /) -> object:
        """Give a field's value; the method of `Mapping` does the same, by way of an exception."""
        return self._values.get(name.lower(), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

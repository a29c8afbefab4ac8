"""The header fields of a request over HTTP, and the metadata of a remote procedure call, whatever transport brings them.

Several of one name are one list, as RFC 9110, section 5.3, has it. So a field that has a single value, such as a number of bytes
or a key, has none that fits where it comes twice, and whoever reads it refuses the request: of several, the one that is taken
here need not be the one that was looked at on the way. A transport for HTTP/1.1 refuses by itself what is `doubled`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, overload

__all__ = ["HeaderFields"]

T = TypeVar("T")

_SINGLE = frozenset(
    {
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "etag",
        "host",
        "max-forwards",
        "server",
        "user-agent",
    }
)
"""Those of HTTP's own fields that have one value (RFC 9110)."""


class HeaderFields(Mapping[str, str]):
    """Header fields by name, whose case is ignored. Those of the same name are one list.

    Args:
        fields: names and values, as sent.

    Attributes:
        doubled: the names, in lower case, of HTTP's own fields that came several times though they have one value.
    """

    __slots__ = ("_names", "_values", "doubled")

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._names: list[str] = []
        self._values: dict[str, str] = {}
        self.doubled: tuple[str, ...] = ()
        for name, value in fields:
            key = name.lower()
            if key in self._values:
                self._values[key] += f"{'; ' if key == 'cookie' else ', '}{value}"
                if key in _SINGLE:
                    self.doubled += (key,)
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

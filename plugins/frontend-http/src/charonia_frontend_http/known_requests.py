"""Infer requests that differ from an earlier one in their binary data alone.

A client of a model sends the same JSON again and again, with other tensors behind it. JSON that came before, byte for byte, says
what it said then, and is not read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from charonia.tensor_place import place_of

from charonia_frontend_http.decoded import Decoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.request import ResponseSink
    from charonia.tensor_place import TensorPlace

__all__ = ["KnownRequests"]

_LONGEST = 4096
"""The longest JSON that is remembered, in bytes: what is longer costs more to compare than it saves."""

_MOST = 64
"""How many are remembered. Clients that give each request an id of its own fill this in no time; then it begins anew."""


@dataclass(slots=True, eq=False)
class _Known:
    """A request that was read before.

    Attributes:
        size: the length of a body that says the same.
        places: its inputs.
        said: what it was, without its tensors.
    """

    size: int
    places: tuple[TensorPlace, ...]
    said: Decoded

    def again(self, body: bytes | memoryview, sink: ResponseSink) -> Decoded:
        inputs = {}
        for place in self.places:
            inputs[place.name] = place.array(body)
        return Decoded(self.said.request.again(inputs, sink), self.said.wanted)


class KnownRequests:
    """What one model was asked lately, over HTTP. Belongs to one event loop."""

    def __init__(self) -> None:
        self._known: dict[tuple[int | None, bytes], _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, body: bytes | memoryview, json_size: int, version: int | None, sink: ResponseSink) -> Decoded | None:
        """Decode a body whose JSON came before; None where it did not.

        Args:
            body: the whole body.
            json_size: how much of it is JSON, in bytes.
            version: the version that the path names.
            sink: where the responses go.
        """
        if json_size > _LONGEST:
            return None
        known = self._known.get((version, bytes(body[:json_size])))
        return known.again(body, sink) if known is not None and known.size == len(body) else None

    def learn(self, body: bytes | memoryview, json_size: int, version: int | None, decoded: Decoded) -> None:
        """Remember what a body said, if others can say the same with other tensors."""
        if json_size > _LONGEST or json_size == len(body) or decoded.request.output_regions:
            return
        places = _places(decoded.request.inputs, json_size, len(body))
        if places:
            if len(self._known) >= _MOST:
                self._known.clear()
            bare = Decoded(decoded.request.pattern(), decoded.wanted)
            self._known[version, bytes(body[:json_size])] = _Known(len(body), places, bare)


def _places(inputs: Mapping[str, object], start: int, end: int) -> tuple[TensorPlace, ...]:
    """Tell where the inputs lie, if all of them are just the bytes from `start` to `end`, one after the other; else nothing."""
    places = []
    for name, tensor in inputs.items():
        size = tensor.nbytes if isinstance(tensor, np.ndarray) else 0
        place = place_of(name, tensor, start, size)
        if place is None:
            return ()
        places.append(place)
        start += size
    return tuple(places) if start == end else ()

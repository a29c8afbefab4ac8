"""Infer requests that differ from an earlier one in their raw data alone.

A client of a model sends the same message again and again, with other tensors at its end. What stands before them, byte for byte
as it came before, says what it said then, and is not read again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from charonia.tensor_place import place_of
from charonia_protos.wire import length_delimited

from charonia_frontend_grpc.infer_request import Decoded

if TYPE_CHECKING:
    from collections.abc import Collection

    from charonia.request import ResponseSink
    from charonia.tensor_place import TensorPlace

__all__ = ["KnownRequest", "KnownRequests"]

_RAW = 7  # a field's number in ModelInferRequest
_LONGEST = 4096
"""How much may stand before the first tensor, in bytes: what is longer costs more to compare than it saves."""

_MOST_LENGTHS, _MOST_OF_A_LENGTH = 64, 4


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """A request that was read before.

    Attributes:
        pieces: what stands before and between its tensors: first byte, end, and the bytes.
        places: its inputs.
        decoded: what it was, without its tensors.
    """

    pieces: tuple[tuple[int, int, bytes], ...]
    places: tuple[TensorPlace, ...]
    decoded: Decoded

    def says(self, body: bytes | memoryview) -> bool:
        """Tell whether a message of the same length says the same."""
        for start, stop, piece in self.pieces:  # noqa: SIM110 - a generator would cost as much as the comparison
            if body[start:stop] != piece:
                return False
        return True

    def again(self, body: bytes | memoryview, sink: ResponseSink) -> Decoded:
        """Make the request anew, for the tensors of another message."""
        said = self.decoded
        inputs = {}
        for place in self.places:
            inputs[place.name] = place.array(body)
        request = said.request.again(inputs, sink)
        return Decoded(request, said.wants_empty_final, said.classes)


class KnownRequests:
    """What was asked lately. Belongs to one event loop."""

    def __init__(self) -> None:
        self._known: dict[int, list[KnownRequest]] = {}

    def find(self, body: bytes | memoryview) -> KnownRequest | None:
        """Give the known request that says what a message says; None if there is none."""
        for known in self._known.get(len(body), ()):
            if known.says(body):
                return known
        return None

    def remember(self, body: bytes | memoryview, raw: Collection[bytes | memoryview], decoded: Decoded) -> None:
        """Know a request from now on, if another one may differ in its data alone.

        One with an id of its own is not expected to come again.

        Args:
            body: its message.
            raw: the entries of its `raw_input_contents`.
            decoded: what it says, before anybody has changed it.
        """
        request = decoded.request
        if request.id or request.output_regions or len(raw) != len(request.inputs):
            return
        heads = [length_delimited(_RAW, len(data)) for data in raw]
        start = len(body) - sum(map(len, heads)) - sum(map(len, raw))
        if not 0 <= start <= _LONGEST:
            return
        places, ends = [], [start]
        for (name, tensor), head, data in zip(request.inputs.items(), heads, raw, strict=True):
            place = place_of(name, tensor, ends[-1] + len(head), len(data))
            if place is None or body[ends[-1] : place.start] != head or not _lies_at(place.start, data, body):
                return
            places.append(place)
            ends.append(place.start + len(data))
        if not places:
            return
        starts = [0, *ends[1:-1]]
        pieces = tuple(
            (at, place.start, bytes(body[at : place.start])) for at, place in zip(starts, places, strict=True)
        )
        self._keep(len(body), KnownRequest(pieces, tuple(places), replace(decoded, request=request.pattern())))

    def _keep(self, length: int, known: KnownRequest) -> None:
        if len(self._known) >= _MOST_LENGTHS:
            self._known.clear()
        alike = self._known.setdefault(length, [])
        if len(alike) >= _MOST_OF_A_LENGTH:
            alike.clear()
        alike.append(known)


def _lies_at(start: int, data: bytes | memoryview, body: bytes | memoryview) -> bool:
    """Tell whether an entry is what stands in its message from a place on: by its memory if it is still a part of that."""
    if isinstance(data, memoryview):
        return _address(data) == _address(body) + start
    return body[start : start + len(data)] == data


def _address(data: bytes | memoryview) -> int:
    place: int = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    return place

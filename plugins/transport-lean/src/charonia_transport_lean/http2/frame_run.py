"""A run of DATA frames alike, which is foreseen: several of them are read at once, each payload to where it belongs.

A client cuts a large message into frames of one size, but for the last. So when one of them has begun, it is known where the
payloads of those after it belong, and what their heads will be. All are read by one call, with each head into a place beside the
payloads. What came instead of a head that was foreseen is read anew.
"""

from __future__ import annotations

from typing import NamedTuple

from charonia_transport_lean.http2.frames import HEAD_BYTES, FrameType, frame_head

__all__ = ["WORTH_A_RUN", "FrameRun", "Stretch"]

WORTH_A_RUN = 4096
"""From payloads of so many bytes on, a run is worth its preparation."""

_LEAST_COUNT, _MOST_COUNT = 2, 31
"""How many frames make a run."""

_DOUBT = 64
"""After a wrong guess, so many chances to guess are passed over: the frames of several streams come in turns, as it seems."""


class Stretch(NamedTuple):
    """What came of a run.

    Attributes:
        placed: how many bytes of payload are in their place.
        left: how many are missing of the frame that is open now.
        rest: what came after that, to be read as ever: a head, or a part of one, or whatever was not foreseen.
        wrong: whether something was not.
    """

    placed: int
    left: int
    rest: bytes
    wrong: bool = False


class FrameRun:
    """The runs of one connection, one after the other.

    Args:
        most: the most that may have to be read anew, in bytes.
        least: the least payload of a frame that is worth a run.
    """

    __slots__ = ("_doubt", "_full", "_head", "_heads", "_least", "_left", "_length", "_most", "_place", "_slots")

    def __init__(self, most: int, least: int = WORTH_A_RUN) -> None:
        self._most = most
        self._least = least
        self._doubt = 0
        self._slots: list[memoryview] = []
        self._heads: memoryview
        self._place: memoryview
        self._left = self._length = self._full = 0
        self._head = b""

    def foresee(self, stream: int, place: memoryview, left: int, length: int) -> list[memoryview]:
        """Give places for the rest of the frame that is open, for heads and payloads of those after it, and for one more head.

        Args:
            stream: whose frames they are.
            place: where the stream's next bytes belong, as many as there are still to come, or as there is room for.
            left: how many bytes are missing of the frame that is open.
            length: how many it has.

        Returns:
            No places, where nothing is foreseen.
        """
        if length < self._least:
            return []
        rest = len(place) - left - 1  # whose last frame may be another one, since it ends the stream
        count = min(rest // length, (self._most - HEAD_BYTES) // (HEAD_BYTES + length), _MOST_COUNT)
        if count < _LEAST_COUNT:
            return []
        if self._doubt:
            self._doubt -= 1
            return []
        if not self._slots:
            self._prepare()
        self._place, self._left, self._length = place, left, length
        self._head = frame_head(length, FrameType.DATA, 0, stream)
        places, at = [place[:left]], left
        for slot in self._slots[:count]:
            places += (slot, place[at : at + length])
            at += length
        places.append(self._slots[count])
        self._full = at + count * HEAD_BYTES
        return places

    def _prepare(self) -> None:
        """Make the places for heads, which most connections never need."""
        self._heads = memoryview(bytearray((_MOST_COUNT + 1) * HEAD_BYTES))
        self._slots = [self._heads[at : at + HEAD_BYTES] for at in range(0, len(self._heads), HEAD_BYTES)]

    def read(self, size: int) -> Stretch:
        """Tell what came, when so many bytes have been put into the places that were given last."""
        if size <= self._left:
            return Stretch(size, self._left - size, b"")
        length = self._length
        whole, rest = divmod(min(size, self._full) - self._left, HEAD_BYTES + length)
        payload = rest - HEAD_BYTES
        heads = whole if payload < 0 else whole + 1
        if self._heads[: heads * HEAD_BYTES] != self._head * heads:
            return self._read_wrong(size)
        placed = self._left + whole * length
        if payload >= 0:
            return Stretch(placed + payload, length - payload, b"")
        start = whole * HEAD_BYTES
        return Stretch(placed, 0, bytes(self._heads[start : start + size - placed - start]))

    def _read_wrong(self, size: int) -> Stretch:
        """Put together again what came, from the first head on that is not as it was foreseen."""
        self._doubt = _DOUBT
        right = 0
        while self._slots[right] == self._head:
            right += 1
        placed = at = self._left + right * self._length
        size -= placed + right * HEAD_BYTES
        pieces: list[memoryview] = []
        for slot in self._slots[right:]:
            pieces += (slot, self._place[at : at + self._length])
            at += self._length
            if at - placed >= size:
                break
        return Stretch(placed, 0, b"".join(pieces)[:size], wrong=True)

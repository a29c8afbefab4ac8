"""A run of DATA frames alike, which is foreseen: several of them are read at once, each payload to where it belongs.

A client cuts a large message into frames of one size, but for the last. So when one of them has begun, it is known where the
payloads of those after it belong, and what their heads will be. All are read by one call, with each head into a place beside the
payloads, and what follows into the reader's buffer. What came instead of a head that was foreseen is put there, to be read anew.
"""

from __future__ import annotations

from typing import NamedTuple

from charonia_transport_lean.http2.frames import HEAD_BYTES, FrameType, frame_head

__all__ = ["WORTH_A_RUN", "FrameRun", "Stretch"]

WORTH_A_RUN = 4096
"""From payloads of so many bytes on, a run is worth its preparation."""

_LEAST_COUNT, _FIRST_COUNT, _MOST_COUNT = 2, 7, 63
"""How many frames make a run: at least, at first, and at most. It grows as long as all of them come at once."""

_DOUBT = 64
"""After a wrong guess, so many chances to guess are passed over: the frames of several streams come in turns, as it seems."""


class Stretch(NamedTuple):
    """What came of a run.

    Attributes:
        placed: how many bytes of payload are in their place.
        left: how many are missing of the frame that is open now.
        rest: how many have come after that, which are in the buffer now, to be read as ever.
        wrong: whether something was not as it was foreseen.
        full: whether every place was filled, so that there may be more.
    """

    placed: int
    left: int
    rest: int
    wrong: bool = False
    full: bool = False


class FrameRun:
    """The runs of one connection, one after the other.

    Args:
        buffer: what is free while a frame is open; it takes all that may have to be read anew.
        ahead: how many bytes are read into it after a run.
        least: the least payload of a frame that is worth a run.
    """

    __slots__ = (
        "_ahead",
        "_buffer",
        "_count",
        "_doubt",
        "_end",
        "_head",
        "_heads",
        "_hope",
        "_least",
        "_left",
        "_length",
        "_place",
        "_slots",
    )

    def __init__(self, buffer: memoryview, ahead: int, least: int = WORTH_A_RUN) -> None:
        self._buffer = buffer
        self._ahead = buffer[:ahead]
        self._least = least
        self._hope = _FIRST_COUNT
        self._doubt = 0
        self._slots: list[memoryview] = []
        self._heads: memoryview
        self._place: memoryview
        self._left = self._length = self._count = self._end = 0
        self._head = b""

    def foresee(self, stream: int, place: memoryview, left: int, length: int) -> list[memoryview]:
        """Give places for the rest of the frame that is open, for heads and payloads of those after it, and for what follows.

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
        room = len(self._buffer) - len(self._ahead)
        count = min(rest // length, room // (HEAD_BYTES + length), self._hope)
        if count < _LEAST_COUNT:
            return []
        if self._doubt:
            self._doubt -= 1
            return []
        if not self._slots:
            self._prepare()
        self._place, self._left, self._length, self._count = place, left, length, count
        self._end = left + count * (HEAD_BYTES + length)
        self._head = frame_head(length, FrameType.DATA, 0, stream)
        places, at = [place[:left]], left
        for slot in self._slots[:count]:
            places += (slot, place[at : at + length])
            at += length
        places.append(self._ahead)
        return places

    def _prepare(self) -> None:
        """Make the places for heads, which most connections never need."""
        self._heads = memoryview(bytearray(_MOST_COUNT * HEAD_BYTES))
        self._slots = [self._heads[at : at + HEAD_BYTES] for at in range(0, len(self._heads), HEAD_BYTES)]

    def read(self, size: int) -> Stretch:
        """Tell what came, when so many bytes have been put into the places that were given last."""
        if size <= self._left:
            return Stretch(size, self._left - size, 0)
        length = self._length
        whole, part = divmod(min(size, self._end) - self._left, HEAD_BYTES + length)
        payload = part - HEAD_BYTES
        heads = whole if payload < 0 else whole + 1
        if self._heads[: heads * HEAD_BYTES] != self._head * heads:
            return self._read_wrong(size)
        placed = self._left + whole * length
        if size >= self._end:
            self._hope = min(max(self._hope, 2 * whole), _MOST_COUNT)
            beyond = size - self._end
            return Stretch(placed, 0, beyond, full=beyond == len(self._ahead))
        self._hope = min(whole + _FIRST_COUNT, _MOST_COUNT)
        if payload >= 0:
            return Stretch(placed + payload, length - payload, 0)
        start = whole * HEAD_BYTES
        self._buffer[:part] = self._heads[start : start + part]
        return Stretch(placed, 0, part)

    def _read_wrong(self, size: int) -> Stretch:
        """Put together again what came, from the first head on that is not as it was foreseen."""
        self._doubt, self._hope = _DOUBT, _FIRST_COUNT
        right = 0
        while self._slots[right] == self._head:
            right += 1
        placed = at = self._left + right * self._length
        size -= placed + right * HEAD_BYTES
        pieces: list[memoryview] = []
        for slot in self._slots[right : self._count]:
            pieces += (slot, self._place[at : at + self._length])
            at += self._length
        rest = b"".join((*pieces, self._ahead))[:size]
        self._buffer[:size] = rest
        return Stretch(placed, 0, size, wrong=True)

"""The reader of HTTP/2's frames as a target: whatever comes, however it is cut, and whatever is foreseen, it is the same frames."""

from __future__ import annotations

from charonia_transport_lean.http2.frame_reader import DataReceiver, FrameReader, FrameReceiver
from charonia_transport_lean.http2.frames import PREFACE, ConnectionFault, frame_head, settings

ROOM = 2048
"""How much of a stream has its place."""

WORTH_A_RUN = 8
"""What counts as a large frame here, so that the few bytes of an input are enough for many."""


def check(data: bytes) -> None:
    """Read frames in one piece, and in pieces whose size the first byte tells, as a connection with a socket of its own does.

    If the highest bit of that byte is set, the bytes after it are frames as `_frames` has them, so that lengths are right.

    Raises:
        AssertionError: the two differ.
        Exception: whatever else the reader should not raise.
    """
    if not data:
        return
    step, stream = data[0] % 128 + 1, data[1:]
    sent = PREFACE + settings({}) + (_frames(stream) if data[0] & 0x80 else stream)
    whole = _read([sent], foreseen=False)
    pieces = [sent[at : at + step * 8] for at in range(0, len(sent), step * 8)]
    for foreseen in (False, True):
        cut = _read(pieces, foreseen=foreseen)
        assert cut == whole, f"in pieces of {step * 8} bytes it is {cut}, as a whole {whole}"


def _frames(data: bytes) -> bytes:
    """Make frames of bytes: type, flags, stream, length and number in a byte each, of which the next gives the payload."""
    made = []
    for at in range(0, len(data) - 5, 6):
        kind, flags, stream, length, count, byte = data[at : at + 6]
        made += [frame_head(length, kind % 11, flags, stream % 4) + bytes((byte,)) * length] * (count % 16 + 1)
    return b"".join(made)[:65_536]


class _Frames(DataReceiver, FrameReceiver):
    """Has some room for what each stream sends, where it belongs, and for more elsewhere; and notes everything."""

    def __init__(self) -> None:
        self.memory: dict[int, bytearray] = {}
        self.filled: dict[int, int] = {}
        self.counted: dict[int, int] = {}
        self.beyond: dict[int, bytes] = {}
        self.heard: list[object] = []

    def data(self, stream, payload, size, *, end) -> None:
        for place in (self.place(stream), None):
            piece = payload if place is None else payload[: len(place)]
            if place is None:
                self.beyond[stream] = self.beyond.get(stream, b"") + bytes(piece)
            else:
                place[: len(piece)] = piece
                self.filled[stream] += len(piece)
                payload = payload[len(piece) :]
        self._count(stream, size, end=end)

    def place(self, stream) -> memoryview:
        memory = self.memory.setdefault(stream, bytearray(ROOM))
        return memoryview(memory)[self.filled.setdefault(stream, 0) :]

    def placed(self, stream, size, *, end) -> None:
        self.filled[stream] += size
        assert self.filled[stream] <= ROOM
        self._count(stream, size, end=end)

    def _count(self, stream, size, *, end) -> None:
        self.counted[stream] = self.counted.get(stream, 0) + size
        if end:
            self.heard.append(("end", stream, self.counted[stream]))

    def headers(self, stream, block, *, end) -> None:
        self.heard.append(("headers", stream, block, end, dict(self.counted)))

    def frame(self, kind, flags, stream, payload) -> None:
        self.heard.append((kind, flags, stream, payload, dict(self.counted)))

    def told(self) -> tuple[object, ...]:
        bodies = {stream: bytes(self.memory[stream][:filled]) for stream, filled in self.filled.items() if filled}
        beyond = {stream: body for stream, body in self.beyond.items() if body}
        return self.heard, bodies, beyond, {stream: size for stream, size in self.counted.items() if size}


def _read(pieces: list[bytes], *, foreseen: bool) -> tuple[object, ...]:
    """Give what a receiver is told, and with which code the connection ends, if it does."""
    receiver = _Frames()
    reader = FrameReader(receiver, receiver, WORTH_A_RUN)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[_put([reader.room()], rest, reader.received) :]
                while foreseen and rest and (places := reader.run()):
                    rest = rest[_put(places, rest, reader.ran) :]
                while reader.more:
                    reader.received(0)
    except ConnectionFault as fault:
        return *receiver.told(), fault.code
    return *receiver.told(), reader.amid


def _put(places, data, tell) -> int:
    size = 0
    for place in places:
        piece = data[size : size + len(place)]
        place[: len(piece)] = piece
        size += len(piece)
    tell(size)
    return size

"""The network, as the connections that are fuzzed see it."""

from __future__ import annotations

import asyncio


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and gives what comes to its protocol, as an event loop does."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.protocol: asyncio.BaseProtocol

    def feed(self, data: bytes) -> None:
        """Have bytes come, as far as the protocol has not closed."""
        rest = memoryview(data)
        while rest and not self.closed:
            if isinstance(self.protocol, asyncio.BufferedProtocol):
                place = self.protocol.get_buffer(-1)[: len(rest)]
                place[:] = rest[: len(place)]
                self.protocol.buffer_updated(len(place))
                rest = rest[len(place) :]
            else:
                self.protocol.data_received(bytes(rest))
                return

    def set_protocol(self, protocol) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write(self, data) -> None:
        assert not self.closed, "written after the end"
        self.written += data

    def write_eof(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

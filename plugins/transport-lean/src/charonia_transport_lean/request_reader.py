"""From the bytes of a connection to the requests in them, free of any socket.

llhttp reads them, strictly: where two servers could disagree about where a request ends, it refuses. Clients of one model send
the same head again and again; a head that came before, byte for byte, means what it meant then, and is not read again. A large
body whose size the head tells never goes through llhttp: it arrives where it stays. Neither does one in chunks, so that it is
copied once.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import httptools
from charonia.header_fields import HeaderFields
from charonia.http_message import HttpRequest

from charonia_transport_lean.body_buffer import BodyBuffer
from charonia_transport_lean.chunked_body import ChunkedBody
from charonia_transport_lean.incoming import RefusedError, WireHead
from charonia_transport_lean.large_body import LARGE, LargeBody

if TYPE_CHECKING:
    from charonia.transport import HttpLimits

    from charonia_transport_lean.incoming import Incoming

__all__ = ["RequestReader"]

_HEAD_END = b"\r\n\r\n"
_TLS_BEGINS = b"\x16\x03"
_HEAD_LINES = 4
"""How many of the longest lines a head may take as a whole."""

_FRAMING_BYTES = 65_536
_FRAMING_SHARE = 16
"""What the framing of a body in chunks may take: so many bytes, and so many more for each byte of the body."""


@dataclass(slots=True)
class _Known:
    """A head that came before, of a request that leaves the connection open.

    Attributes:
        wire: its bytes.
        head: what it says.
        length: the size of the body that follows it.
    """

    wire: bytes
    head: WireHead
    length: int


class RequestReader:
    """Reads the requests of one connection.

    Args:
        limits: what is too large.
        large: from how many bytes on a body gets memory of its own.

    Attributes:
        requests: those that are complete, in their order; whoever answers takes them out.
        in_head: whether a head has begun and not ended.
        in_body: whether a body is still arriving.
        awaited: whether the client waits for the word before it sends the body; whoever gives it sets this to False.
        large: the body that is arriving, if it is a large one: it takes what comes as well as `feed` does.
    """

    def __init__(self, limits: HttpLimits, large: int = LARGE) -> None:
        self.requests: deque[Incoming] = deque()
        self.in_head = False
        self.in_body = False
        self.awaited = False
        self.large: LargeBody | None = None
        self._chunks: ChunkedBody | None = None
        self._limits = limits
        self._large_from = large
        self._known: _Known | None = None
        self._closing = False
        self._seam = b""
        self._parser = httptools.HttpRequestParser(self)
        self._flaw: RefusedError | None = None
        self._wire_size = 0
        self._begun = 0
        self.on_message_begin()
        self.in_head = False

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            RefusedError: it cannot be understood, or is too large. Requests before it are in `requests`; nothing after it is.
        """
        try:
            self._feed(data)
        except RefusedError as flaw:
            self._flaw = flaw
            raise

    def _feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._closing:
                if data[at:].strip(b"\r\n"):
                    raise RefusedError(400, "malformed request: it follows the one that closes the connection")
                return
            if self.large is not None:
                at += self._fill(memoryview(data)[at:])
            elif self._chunks is not None:
                at = self._feed_chunks(self._chunks, data, at)
            elif self.in_body:
                end = min(len(data), at + self._length - self._size)
                self._parse(memoryview(data)[at:end])
                at = end
            elif self.in_head:
                at = self._feed_head(data, at)
            else:
                at = self._feed_known(data, at)

    def _feed_known(self, data: bytes, at: int) -> int:
        """Take the requests that begin here and whose head is known, or the next head. Gives where the rest begins."""
        known = self._known
        while known is not None and data.startswith(known.wire, at):
            head = known.head
            body = at + len(known.wire)
            if known.length >= self._large_from:
                self._expect_large(head, known.length)
                return body
            end = body + known.length
            if len(data) < end:
                break
            self.requests.append((head, HttpRequest(head, data[body:end])))
            if len(data) == end:
                return end
            at = end
        return self._feed_head(data, at)

    def _feed_head(self, data: bytes, at: int) -> int:
        """Take the head, or the part of one, that comes next. Gives where the rest begins."""
        end = _head_end(self._seam, data, at)
        begins, self._seam = not self._seam, b"" if end else (self._seam + data[at:])[-3:]
        head = data[at:end] if end else data[at:]
        self._begun = 0
        try:
            self._parse(head)
        except RefusedError:
            if end:
                self.skip(data[end:])
            raise
        if not end:
            return len(data)
        if begins and self._begun == 1:
            self._learn(head)
        if self.in_body and (self._length < 0 or (self._length >= self._large_from and not self._size)):
            self._parser = httptools.HttpRequestParser(self)  # it would go on to wait for the body
            if self._length < 0:
                self._chunks = ChunkedBody(self.on_body)
            else:
                self._expect_large(self._head, self._length)
        return end

    def _feed_chunks(self, chunks: ChunkedBody, data: bytes, at: int) -> int:
        """Take what comes next of a body in chunks. Gives where the rest begins."""
        try:
            end = chunks.feed(data, at)
        except ValueError as error:
            self.in_body = False  # nobody knows how much of it there is
            raise RefusedError(400, f"malformed request body: {error}") from error
        self._wire_size += end - at
        if chunks.complete:
            self._chunks = None
            self.on_message_complete()
        self._check()
        return end

    def _expect_large(self, head: WireHead, length: int) -> None:
        self._head = head
        self._length = length
        self.in_body = True
        try:
            self.large = LargeBody(length)
        except MemoryError:
            self._refuse_large()

    def _fill(self, data: memoryview) -> int:
        """Let the large body take what is its own. Gives how much that is."""
        large = self.large
        assert large is not None  # noqa: S101 - asked by the callers
        try:
            taken = large.add(data)
        except MemoryError:
            self._refuse_large()
        self._end_large(large)
        return taken

    def placed(self, count: int) -> None:
        """Know that so many bytes of the large body are in their place.

        Raises:
            RefusedError: there is not enough memory for the rest of it.
        """
        large = self.large
        assert large is not None  # noqa: S101 - whoever asked for its place has seen it
        try:
            large.placed(count)
        except MemoryError:
            self._refuse_large()
        self._end_large(large)

    def _end_large(self, large: LargeBody) -> None:
        self.awaited = False
        if large.complete:
            self.large, self.in_body = None, False
            self._complete(large.whole())

    def _complete(self, body: bytes | memoryview) -> None:
        self.requests.append((self._head, HttpRequest(self._head, body)))
        self._closing = not self._head.keep

    def _refuse_large(self) -> NoReturn:
        self.large, self.in_body = None, False
        raise RefusedError(503, f"there is no memory for a request body of {self._length} bytes") from None

    def _learn(self, head: bytes) -> None:
        """Remember a head that was read just now, if it says by itself where its request ends, and that another may follow."""
        said = self._head
        plain = self.in_body or (self.requests and self.requests[-1][0] is said)
        if (
            plain
            and said.keep
            and not self.awaited
            and not self._body
            and self._length >= 0
            and "Upgrade" not in said.headers
        ):
            self._known = _Known(head, said, self._length)

    def _parse(self, data: bytes | memoryview) -> None:
        self._wire_size = len(data) + (self._wire_size if self.in_head or self.in_body else 0)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # nothing is upgraded to: the request is answered as it stands
            rest = data[upgrade.args[0] :]
            self._parser = httptools.HttpRequestParser(self)
            self._check()
            if rest:
                self._feed(bytes(rest))
            return
        except httptools.HttpParserInvalidMethodError:
            if bytes(data[:2]) == _TLS_BEGINS:
                raise RefusedError(400, "TLS is not spoken here: ask http://, or serve with --http-use-ssl") from None
            raise RefusedError(405, "Method Not Allowed") from None
        except httptools.HttpParserError as error:
            self.in_body = False  # nobody knows how much of it there is
            self._check()
            raise RefusedError(400, f"malformed request: {error}") from error
        self._check()

    def _check(self) -> None:
        if self._flaw is not None:
            raise self._flaw
        if self.in_head and self._wire_size > _HEAD_LINES * self._limits.line:
            raise RefusedError(431, self._limits.line_refusal)
        if self.in_body and self._wire_size - self._size > _FRAMING_BYTES + _FRAMING_SHARE * self._size:
            raise RefusedError(400, "malformed request body: its framing is out of all proportion to it")

    def skip(self, data: bytes) -> bool:
        """Take what still arrives of a refused request, or behind the last one, and drop it. True if there is no more of it."""
        if self.large is not None:
            with suppress(RefusedError):
                self._fill(memoryview(data))
            return not self.in_body
        try:
            if self._chunks is not None:
                self._chunks.feed(data, 0)
                self.in_body = not self._chunks.complete
            else:
                self._parser.feed_data(data)
        except (ValueError, httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.in_body = False
        return not self.in_body

    def _refuse(self, status: int, text: str) -> None:
        if self._flaw is None:
            self._flaw = RefusedError(status, text)

    # -- what llhttp calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.in_head = True
        self._begun += 1
        self._url = b""
        self._fields: list[tuple[str, str]] = []
        self._head = WireHead("", "", HeaderFields(()))
        self._body = BodyBuffer(None)
        self._size = 0
        self._length = -1

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url
        if len(self._url) > self._limits.line:
            self._refuse(431, self._limits.line_refusal)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; those after the body say nothing that is needed."""
        if self.in_body:
            return
        if len(name) + len(value) > self._limits.line:
            self._refuse(431, self._limits.line_refusal)
        self._fields.append((name.decode("latin-1"), value.decode("utf-8", "surrogateescape")))

    def on_headers_complete(self) -> None:
        """Know what the head says."""
        parser = self._parser
        self.in_head, self.in_body = False, True
        headers = HeaderFields(self._fields)
        method = parser.get_method().decode("latin-1")
        version = parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            self._refuse(505, f"HTTP/{version} is not spoken here, but HTTP/1.1 and HTTP/1.0")
        http_1_1 = version == "1.1"
        keep = parser.should_keep_alive() and method != "CONNECT"  # what follows would belong to a tunnel
        target = self._url.decode("utf-8", "surrogateescape")
        self._head = WireHead(method, target, headers, http_1_1=http_1_1, keep=keep)
        if http_1_1 and headers.get("Host") is None:
            self._refuse(400, "malformed request: the field 'Host' is missing, which HTTP/1.1 has in every request")
        if headers.doubled:
            self._refuse(400, f"malformed request: the field {headers.doubled[0]!r} comes twice, but has one value")
        coding = headers.get("Transfer-Encoding")
        if coding is None:
            self._length = int(headers.get("Content-Length", "0"))  # which llhttp has found to be a number
        elif not http_1_1:
            self._refuse(400, "malformed request: HTTP/1.0 has no Transfer-Encoding")
        elif "," in coding:  # and `chunked` is the last one, which llhttp sees to
            self._refuse(501, f"no other Transfer-Encoding is read than 'chunked', but it is {coding!r}")
        if self._length > self._limits.body:
            self._refuse(413, self._limits.body_refusal)
        self.awaited = http_1_1 and headers.get("Expect", "").lower() == "100-continue"
        self._wire_size = 0

    def on_body(self, piece: bytes | memoryview) -> None:
        """Take a part of the body, which is copied."""
        self.awaited = False
        self._size += len(piece)
        if self._size > self._limits.body:
            self._refuse(413, self._limits.body_refusal)
        elif self._flaw is None:
            try:
                self._body.add(piece)
            except MemoryError:
                self._refuse(503, f"there is no memory for a request body of more than {self._size} bytes")

    def on_message_complete(self) -> None:
        """End a request."""
        self.in_body = self.awaited = False
        if self._flaw is not None:
            return
        self._complete(self._body.take())


def _head_end(seam: bytes, data: bytes, at: int) -> int:
    """Find where the head ends that begins, or goes on, at a place; the seam is the end of what came before. 0 if it does not."""
    if seam:
        across = (seam + data[at : at + 3]).find(_HEAD_END)
        if across >= 0:
            return at + across + len(_HEAD_END) - len(seam)
    end = data.find(_HEAD_END, at)
    return end + len(_HEAD_END) if end >= 0 else 0

"""From the bytes of a connection to the requests in them, free of any socket.

llhttp reads them, strictly: where two servers could disagree about where a request ends, it refuses. Clients of one model send
the same head again and again; a head that came before, byte for byte, means what it meant then, and is not read again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httptools
from charonia.http_message import HttpRequest

from charonia_transport_lean.headers import Headers

if TYPE_CHECKING:
    from charonia.transport import HttpLimits

__all__ = ["Incoming", "RefusedError", "RequestReader"]

_HEAD_END = b"\r\n\r\n"
_HEAD_LINES = 4
"""How many of the longest lines a head may take as a whole."""

_FRAMING_BYTES = 65_536
_FRAMING_SHARE = 16
"""What the framing of a body in chunks may take: so many bytes, and so many more for each byte of the body."""


class RefusedError(Exception):
    """What came is no request that can be answered, and nobody knows where the next one would begin.

    Attributes:
        status: the status code that says so.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Incoming:
    """A whole request with what its connection has to know of it.

    Attributes:
        request: the request.
        http_1_1: whether it is of HTTP/1.1, or of an older version.
        keep: whether the client leaves the connection open.
    """

    request: HttpRequest
    http_1_1: bool
    keep: bool


@dataclass(slots=True)
class _KnownHead:
    """A head that came before.

    Attributes:
        head: its bytes.
        end: where a request with it ends, counted from its first byte.
    """

    head: bytes
    end: int
    method: str
    target: str
    headers: Headers
    http_1_1: bool

    def incoming(self, data: bytes) -> Incoming:
        body = data[len(self.head) : self.end]
        return Incoming(HttpRequest(self.method, self.target, self.headers, body), self.http_1_1, keep=True)


class RequestReader:
    """Reads the requests of one connection.

    Args:
        limits: what is too large.

    Attributes:
        requests: those that are complete, in their order; whoever answers takes them out.
        in_head: whether a head has begun and not ended.
        in_body: whether a body is still arriving.
        awaited: whether the client waits for the word before it sends the body; whoever gives it sets this to False.
    """

    def __init__(self, limits: HttpLimits) -> None:
        self.requests: deque[Incoming] = deque()
        self.in_head = False
        self.in_body = False
        self.awaited = False
        self._limits = limits
        self._known: _KnownHead | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._flaw: RefusedError | None = None
        self._wire_size = 0
        self.on_message_begin()
        self.in_head = False

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            RefusedError: it cannot be understood, or is too large. Requests before it are in `requests`; nothing after it is.
        """
        if not (self.in_head or self.in_body):
            data = self._feed_known(data)
            if not data:
                return
            end = data.find(_HEAD_END) + len(_HEAD_END)
            if end >= len(_HEAD_END):
                head = data[:end]
                data = data[end:]
                try:
                    self._parse(head)
                except RefusedError:
                    self.skip(data)
                    raise
                self._learn(head)
                if not data:
                    return
                if not self.in_body:
                    self.feed(data)
                    return
        self._parse(data)

    def _feed_known(self, data: bytes) -> bytes:
        """Take the requests at the beginning whose head is known. Gives what follows them."""
        known = self._known
        while known is not None and len(data) >= known.end and data.startswith(known.head):
            self.requests.append(known.incoming(data))
            if len(data) == known.end:
                return b""
            data = data[known.end :]
        return data

    def _learn(self, head: bytes) -> None:
        """Remember a head that was read just now, if it says by itself where its request ends, and that another may follow."""
        length = self._headers.get("Content-Length", "0")
        plain = self.in_body or (self.requests and self.requests[-1].request.headers is self._headers)
        if (
            plain
            and length.isdecimal()
            and self._keep
            and not self.awaited
            and not self._body
            and "Transfer-Encoding" not in self._headers
            and "Upgrade" not in self._headers
            and int(length) == self._length
        ):
            end = len(head) + int(length)
            self._known = _KnownHead(head, end, self._method, self._target, self._headers, self._http_1_1)

    def _parse(self, data: bytes) -> None:
        self._wire_size = len(data) + (self._wire_size if self.in_head or self.in_body else 0)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # nothing is upgraded to: the request is answered as it stands
            rest = data[upgrade.args[0] :]
            self._parser = httptools.HttpRequestParser(self)
            self._check()
            if rest:
                self.feed(rest)
            return
        except httptools.HttpParserInvalidMethodError:
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
        """Take what still arrives of a refused request, and drop it. True if there is no more of it."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.in_body = False
        return not self.in_body

    def _refuse(self, status: int, text: str) -> None:
        if self._flaw is None:
            self._flaw = RefusedError(status, text)

    # -- what llhttp calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.in_head = True
        self._url = b""
        self._fields: list[tuple[str, str]] = []
        self._headers = Headers(())
        self._body: list[bytes] = []
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
        self._headers = Headers(self._fields)
        self._method = parser.get_method().decode("latin-1")
        self._target = self._url.decode("utf-8", "surrogateescape")
        self._http_1_1 = parser.get_http_version() == "1.1"
        self._keep = parser.should_keep_alive()
        length = self._headers.get("Content-Length")
        if length is not None and length.isdecimal():
            self._length = int(length)
        elif "Transfer-Encoding" not in self._headers:
            self._length = 0
        if self._length > self._limits.body:
            self._refuse(413, self._limits.body_refusal)
        self.awaited = self._http_1_1 and self._headers.get("Expect", "").lower() == "100-continue"
        self._wire_size = 0

    def on_body(self, piece: bytes) -> None:
        """Take a part of the body."""
        self.awaited = False
        self._size += len(piece)
        if self._size > self._limits.body:
            self._refuse(413, self._limits.body_refusal)
        elif self._flaw is None:
            self._body.append(piece)

    def on_message_complete(self) -> None:
        """End a request."""
        self.in_body = self.awaited = False
        if self._flaw is not None:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = HttpRequest(self._method, self._target, self._headers, body)
        self.requests.append(Incoming(request, self._http_1_1, self._keep))

"""A request of HTTP and its response over HTTP/2."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from charonia.byte_parts import parts_of
from charonia.http_message import HttpRequest, HttpResponse, settled

from charonia_transport_lean.body_buffer import BodyBuffer
from charonia_transport_lean.http2.stream import Exchange

if TYPE_CHECKING:
    from charonia.http_message import BodyStream, RequestHead
    from charonia.transport import HttpHandler, HttpLimits

    from charonia_transport_lean.http2.stream import Line, Stream

__all__ = ["HttpExchange"]


class HttpExchange(Exchange):
    """Gathers a request, has it answered, and sends the response.

    Args:
        head: what its head says; the same object for all requests with that head.
        handle: answers it.
        limits: what is too large.
    """

    __slots__ = ("_body", "_handle", "_head", "_limits")

    def __init__(
        self, connection: Line, stream: Stream, head: RequestHead, handle: HttpHandler, limits: HttpLimits
    ) -> None:
        super().__init__(connection, stream)
        self._head = head
        self._handle = handle
        self._limits = limits
        length = stream.head.length
        self._body = BodyBuffer(length if length is not None and length <= limits.body else None)
        if length is not None and length > limits.body:
            self._refuse()

    def data(self, payload: memoryview) -> None:
        """Take a piece of the body."""
        if len(self._body) + len(payload) > self._limits.body:
            self._refuse()
        else:
            self._body.add(payload)

    def place(self) -> memoryview | None:
        """Give where the next bytes of the body belong."""
        return self._body.place()

    def placed(self, size: int) -> None:
        """Take note of bytes in their place."""
        self._body.placed(size)

    def finish(self) -> None:
        """Answer."""
        self._run(self._answer(HttpRequest(self._head, self._body.take())))

    def _refuse(self) -> None:
        text = json.dumps({"error": self._limits.body_refusal}, separators=(",", ":"))
        self._send(HttpResponse(413, text.encode()))

    async def _answer(self, request: HttpRequest) -> None:
        response = await settled(self._handle(request))
        if response.stream is None:
            self._send(response)
        else:
            await self._send_stream(response, response.stream)

    def _send(self, response: HttpResponse) -> None:
        stream, outflow = self._stream, self._connection.outflow
        length = ("content-length", str(len(response.body)))
        nothing = not response.body or stream.head.method == "HEAD"
        outflow.head(stream, _common(response), (*_own(response), length), end=nothing)
        if not nothing:
            stream.ending = True
            outflow.data(stream, *parts_of(response.body))

    async def _send_stream(self, response: HttpResponse, body: BodyStream) -> None:
        stream, outflow = self._stream, self._connection.outflow
        try:
            outflow.head(stream, _common(response), _own(response))
            async for piece in body:
                outflow.data(stream, piece)
                await outflow.wait_for_room(stream)
                self._connection.sent_data()
            outflow.end(stream)
        finally:
            body.close()


def _common(response: HttpResponse) -> tuple[tuple[str, str], ...]:
    return (":status", str(response.status)), ("content-type", response.content_type)


def _own(response: HttpResponse) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.lower(), value)
        for name, value in response.headers.items()
        if name.lower() not in {"connection", "keep-alive"}
    )

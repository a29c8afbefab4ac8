"""The responses to one request as server-sent events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from charonia.errors import InferenceError, InternalError
from charonia.http_message import BodyStream, HttpResponse

from charonia_frontend_http.message import EVENTS, error_body
from charonia_frontend_http.status import STATUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.request import InferenceRequest, InferenceResponse

    from charonia_frontend_http.response_queue import ResponseQueue

__all__ = ["EVENT_STREAM", "ResponseStream", "event_response"]

_log = logging.getLogger("charonia.frontend_http.event_stream")

EVENT_STREAM = "text/event-stream"
"""What a client accepts that wants events."""


class ResponseStream:
    """A request in progress, which gives its responses as they come.

    Args:
        request: the request.
        responses: where its responses come to.
        write: makes the JSON document of a response, which has no line breaks.
    """

    def __init__(
        self, request: InferenceRequest, responses: ResponseQueue, write: Callable[[InferenceResponse], bytes]
    ) -> None:
        self._request = request
        self._responses = responses
        self.document = write

    async def next(self) -> InferenceResponse | None:
        """Wait for the next response; None after the last one.

        Raises:
            InferenceError: the server refused the request.
        """
        return await self._responses.next()

    def close(self) -> None:
        """Take the request back, if it is still in progress, and drop what comes of it."""
        self._request.cancel()
        self._responses.close()


async def event_response(stream: ResponseStream) -> HttpResponse:
    """Answer with an event for each response. The first one decides about the status; later errors are events like others.

    Raises:
        InferenceError: the server refused the request.
    """
    try:
        first = await stream.next()
    except BaseException:
        stream.close()
        raise
    status = 200 if first is None or first.error is None else STATUS[first.error.code]
    return HttpResponse(status, content_type=EVENTS, stream=_Events(stream, first))


class _Events(BodyStream):
    """The body: an event for each response."""

    def __init__(self, stream: ResponseStream, first: InferenceResponse | None) -> None:
        self._stream = stream
        self._next = first
        self._begun = False

    async def __anext__(self) -> bytes:
        response = self._next if not self._begun else await self._stream.next()
        self._begun = True
        if response is None:
            raise StopAsyncIteration
        return b"data: %b\n\n" % self._document(response)

    def _document(self, response: InferenceResponse) -> bytes:
        error = response.error
        if error is None:
            try:
                return self._stream.document(response)
            except InferenceError as failure:
                error = failure
            except Exception as failure:  # noqa: BLE001 - the border of requests: a fault of ours is told and survived
                _log.exception("failed to write a response")
                error = InternalError(f"{type(failure).__name__}: {failure}")
        return error_body(str(error))

    def close(self) -> None:
        """Take the request back."""
        self._stream.close()

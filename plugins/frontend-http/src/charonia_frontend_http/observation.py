"""Looking on while a request is answered, for its trace and for the header field `Server-Timing`. Else none of this runs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.http_message import BodyStream, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from charonia.http_message import HttpAnswering, HttpRequest
    from charonia.trace import Onlooker, Trace, TracedRequest
    from charonia.transport import HttpHandler

__all__ = ["OBSERVED", "RECEIVING", "SENDING", "observed"]

OBSERVED = frozenset({"infer", "generate", "generate_stream", "predict"})
"""The endpoints whose requests are looked at."""

RECEIVING, SENDING = "HTTP_RECV", "HTTP_SEND"
"""What traces call the times before and after the model's."""


def observed(answer: HttpHandler, request: HttpRequest, trace: Trace | None, *, timing: bool) -> HttpAnswering:
    """Look on while a request is answered. Raises what that raises.

    Args:
        answer: answers it.
        request: the request.
        trace: its trace, which has just begun, if it has one.
        timing: whether the response tells how long its parts took; true where there is no trace.
    """
    request.onlooker = onlooker = _Timing(trace) if timing or trace is None else trace
    try:
        answering = answer(request)
    except BaseException:
        onlooker.end()
        raise
    return _seen(answering, onlooker) if isinstance(answering, HttpResponse) else _seen_later(answering, onlooker)


async def _seen_later(answering: Awaitable[HttpResponse], onlooker: Onlooker) -> HttpResponse:
    try:
        response = await answering
    except BaseException:
        onlooker.end()
        raise
    return _seen(response, onlooker)


def _seen(response: HttpResponse, onlooker: Onlooker) -> HttpResponse:
    """Take note of a response that is there."""
    onlooker.answered_ns = onlooker.answered_ns or time.monotonic_ns()
    if isinstance(onlooker, _Timing):
        response = onlooker.told(response)
    if response.stream is None:
        onlooker.end()
    else:
        response.stream = _Watched(response.stream, onlooker)
    return response


class _Watched(BodyStream):
    """A stream whose end somebody wants to know of."""

    def __init__(self, stream: BodyStream, onlooker: Onlooker) -> None:
        self._stream = stream
        self._onlooker = onlooker

    async def __anext__(self) -> bytes:
        return await self._stream.__anext__()

    def close(self) -> None:
        self._stream.close()
        self._onlooker.end()


class _Timing:
    """Tells the client how long the parts of its request took.

    Args:
        trace: looks on, too, or None.
    """

    def __init__(self, trace: Trace | None) -> None:
        self.answered_ns = 0
        self._trace = trace
        self._request: TracedRequest | None = None

    def carry(self, request: TracedRequest) -> None:
        self._request = request
        if self._trace is not None:
            self._trace.carry(request)

    def end(self) -> None:
        self._request = None
        if self._trace is not None:
            self._trace.answered_ns = self.answered_ns
            self._trace.end()

    def told(self, response: HttpResponse) -> HttpResponse:
        """Give a response that tells it, if its request was decoded."""
        if self._request is None:
            return response
        return replace(response, headers={**response.headers, "Server-Timing": _parts(self._request)})


def _parts(request: TracedRequest) -> str:
    """Tell how long a request took up to now, and the parts of it that are known, in milliseconds."""
    parts = {"total": time.monotonic_ns() - request.arrival_ns}
    if request.started_ns:
        input_ns, infer_ns, output_ns = request.compute_ns
        parts |= {
            "queue": request.started_ns - request.queued_ns,
            "compute_input": input_ns,
            "compute_infer": infer_ns,
            "compute_output": output_ns,
        }
    return ", ".join([f"{name};dur={ns / 1_000_000:.3f}" for name, ns in parts.items()])

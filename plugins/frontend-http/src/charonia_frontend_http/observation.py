"""Looking on while a request is answered, for its trace and for the header field `Server-Timing`. Else none of this runs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.http_message import BodyStream, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from charonia.http_message import HttpAnswering, HttpRequest
    from charonia.trace import Passage, TracedRequest
    from charonia.transport import HttpHandler

__all__ = ["OBSERVED", "RECEIVING", "SENDING", "observed"]

OBSERVED = frozenset({"infer", "generate", "generate_stream", "predict"})
"""The endpoints whose requests are looked at."""

RECEIVING, SENDING = "HTTP_RECV", "HTTP_SEND"
"""What traces call the times before and after the model's."""


def observed(answer: HttpHandler, request: HttpRequest, passage: Passage, *, timing: bool) -> HttpAnswering:
    """Look on while a request is answered. Raises what that raises.

    Args:
        answer: answers it.
        request: the request.
        passage: its passage, which has just begun.
        timing: whether the response tells how long its parts took.
    """
    request.passage = passage
    try:
        answering = answer(request)
    except BaseException:
        passage.end()
        raise
    if isinstance(answering, HttpResponse):
        return _seen(answering, passage, timing=timing)
    return _seen_later(answering, passage, timing=timing)


async def _seen_later(answering: Awaitable[HttpResponse], passage: Passage, *, timing: bool) -> HttpResponse:
    try:
        response = await answering
    except BaseException:
        passage.end()
        raise
    return _seen(response, passage, timing=timing)


def _seen(response: HttpResponse, passage: Passage, *, timing: bool) -> HttpResponse:
    """Take note of a response that is there."""
    passage.answer()
    if timing and passage.request is not None:
        response = replace(response, headers={**response.headers, "Server-Timing": _timing(passage.request)})
    if response.stream is None:
        passage.end()
    else:
        response.stream = _Watched(response.stream, passage)
    return response


class _Watched(BodyStream):
    """A stream whose end is the end of a passage."""

    def __init__(self, stream: BodyStream, passage: Passage) -> None:
        self._stream = stream
        self._passage = passage

    async def __anext__(self) -> bytes:
        return await self._stream.__anext__()

    def close(self) -> None:
        self._stream.close()
        self._passage.end()


def _timing(request: TracedRequest) -> str:
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

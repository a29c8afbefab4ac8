"""Looking on while a request is answered, for its trace and for the header field `Server-Timing`. Else none of this runs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.http_message import BodyStream
from charonia.trace import Passage

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from charonia.http_message import HttpRequest, HttpResponse
    from charonia.request import InferenceRequest
    from charonia.server import Server

    from charonia_frontend_http.routes import Route

__all__ = ["Observation"]

_MOMENTS = ("HTTP_RECV", "HTTP_SEND")
_ENDPOINTS = frozenset({"infer", "generate", "generate_stream", "predict"})


class Observation:
    """Decides which requests are looked at, and does it.

    Args:
        server: the server, which may trace requests.
        timing: whether each answer tells how long its parts took.
    """

    def __init__(self, server: Server, *, timing: bool) -> None:
        self._tracer = server.tracer
        self._timing = timing

    @property
    def on(self) -> bool:
        """Whether any request is looked at."""
        return self._timing or self._tracer.on

    def begin(self, route: Route, request: HttpRequest) -> Passage | None:
        """Begin the passage of a request, if it is to be looked at."""
        if route.endpoint not in _ENDPOINTS:
            return None
        passage = self._tracer.passage(route.model, *_MOMENTS, request.headers.get) if self._tracer.on else None
        return Passage(*_MOMENTS) if passage is None and self._timing else passage

    async def watch(self, passage: Passage, response: Awaitable[HttpResponse], request: HttpRequest) -> HttpResponse:
        """Have a request answered by awaiting its response. Raises what that raises."""
        request.passage = passage
        try:
            answered = await response
        except BaseException:
            passage.end()
            raise
        passage.answer()
        if self._timing and passage.request is not None:
            answered = replace(answered, headers={**answered.headers, "Server-Timing": _timing(passage.request)})
        if answered.stream is None:
            passage.end()
        else:
            answered.stream = _Watched(answered.stream, passage)
        return answered


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


def _timing(request: InferenceRequest) -> str:
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

"""Looking on while a request is answered, for its trace and for the header field `Server-Timing`. Else none of this runs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.http_message import BodyStream
from charonia.trace import Passage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from charonia.http_message import HttpRequest, HttpResponse
    from charonia.request import InferenceRequest
    from charonia.server import Server

    from charonia_frontend_http.routes import Route

__all__ = ["Observation"]

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

    def wanted(self, endpoint: str) -> bool:
        """Tell whether a request is to be looked at."""
        return (self._timing or self._tracer.on) and endpoint in _ENDPOINTS

    async def watch(
        self,
        answer: Callable[[Route, HttpRequest, str], Awaitable[HttpResponse]],
        route: Route,
        request: HttpRequest,
        content_type: str,
    ) -> HttpResponse:
        """Have a request answered. Raises what `answer` raises."""
        request.passage = passage = Passage("HTTP_RECV", "HTTP_SEND", request.headers.get)
        try:
            response = await answer(route, request, content_type)
        except BaseException:
            passage.end()
            raise
        passage.answer()
        if self._timing and passage.request is not None:
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

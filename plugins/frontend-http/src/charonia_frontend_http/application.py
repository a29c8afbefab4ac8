"""The protocol over HTTP, free of any transport: a request in, a response out."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import orjson
from charonia.config import config_to_json
from charonia.errors import InferenceError, InternalError
from charonia.http_message import HttpResponse
from charonia.outbox import Outbox

from charonia_frontend_http.docs_endpoints import DocsEndpoints
from charonia_frontend_http.documents import model_document, server_document, statistics_document
from charonia_frontend_http.generation import GenerateEndpoints
from charonia_frontend_http.inference import InferEndpoint, InferPlan
from charonia_frontend_http.message import JSON, PLAIN, error_body, error_response
from charonia_frontend_http.observation import OBSERVED, RECEIVING, SENDING, observed
from charonia_frontend_http.predict import PredictEndpoint
from charonia_frontend_http.repository_endpoints import RepositoryEndpoints
from charonia_frontend_http.routes import Routes
from charonia_frontend_http.settings_endpoints import SettingsEndpoints
from charonia_frontend_http.shared_memory_endpoints import SharedMemoryEndpoints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from charonia.header_forwarding import HeaderForwarding
    from charonia.http_message import HttpAnswering, HttpRequest, RequestHead
    from charonia.mailbox import Mailbox
    from charonia.server import Server
    from charonia.trace import Trace
    from charonia.transport import HttpHandler

    from charonia_frontend_http.routes import Route

__all__ = ["HttpApplication"]

_log = logging.getLogger("charonia.frontend_http.application")

_NOT_FOUND = HttpResponse(404, error_body("Not Found"), PLAIN)
_NOT_ALLOWED = error_body("Method Not Allowed")
_PLAIN_ENDPOINTS = frozenset({"live", "ready", "model_ready", "infer"})
"""As in the reference, refusals of these endpoints are `text/plain`; the body is JSON nevertheless."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How requests of one head are answered.

    Attributes:
        route: where they go.
        content_type: the media type of refusals.
        trace: begins the trace of one, where it may have one; else None.
        traced_already: whether the client says that they belong to a trace.
        answer: answers one, or raises.
    """

    route: Route
    content_type: str
    trace: Callable[[], Trace | None] | None
    traced_already: bool
    answer: HttpHandler


class HttpApplication:
    """Answers requests. One per event loop.

    Args:
        server: the server that answers.
        mailbox: the way from instance threads into this application's loop.
        max_input_size: the largest JSON document, or JSON or raw tensor, in bytes.
        forwarding: which header fields of infer and predict requests become parameters, or None for none.
        timing: whether answers tell how long their parts took.
    """

    def __init__(
        self,
        server: Server,
        mailbox: Mailbox,
        max_input_size: int,
        forwarding: HeaderForwarding | None = None,
        *,
        timing: bool = False,
    ) -> None:
        self._server = server
        self._tracer = server.tracer
        self._timing = timing
        self._routes = Routes()
        outbox = Outbox(server)
        self._infer = InferEndpoint(server, mailbox, outbox, max_input_size, forwarding)
        generate = GenerateEndpoints(server, mailbox, outbox, max_input_size)
        repository = RepositoryEndpoints(server)
        docs = DocsEndpoints(server)
        self._answers: Mapping[str, Callable[[Route, HttpRequest], HttpAnswering]] = {
            "generate": generate.whole,
            "generate_stream": generate.stream,
            "index": repository.index,
            "load": repository.load,
            "model_ready": self._model_ready,
            "unload": repository.unload,
            "openapi": docs.openapi,
            "docs_page": docs.page,
            "docs_style": docs.page,
            "docs_script": docs.page,
            "predict": PredictEndpoint(server, max_input_size, forwarding).answer,
            "live": self._live,
            "ready": self._ready,
            "server_metadata": self._server_metadata,
            "model_metadata": self._model_metadata,
            "model_config": self._model_config,
            "statistics": self._statistics,
            **SettingsEndpoints(server).by_name,
            **SharedMemoryEndpoints(server.shared_memory).by_name,
        }

    def handle(self, request: HttpRequest) -> HttpAnswering:
        """Answer a request, at once where nothing has to be waited for.

        Does not raise, except where what is given otherwise is cancelled: then the inference is, too.
        """
        plan: _Plan | None = request.head.plan
        if plan is None:
            plan = request.head.plan = self._plan(request.head)
        if plan.trace is not None:
            trace = plan.trace() if plan.traced_already or next(self._tracer.turns, True) else None
            if trace is not None or self._timing:
                return observed(partial(self._answer, plan), request, trace, timing=self._timing)
        return self._answer(plan, request)

    def _answer(self, plan: _Plan, request: HttpRequest) -> HttpAnswering:
        try:
            answering = plan.answer(request)
        except Exception as error:  # noqa: BLE001 - the border of requests: a fault of ours is told and survived
            return _failure(plan, request, error)
        return answering if isinstance(answering, HttpResponse) else _guarded(plan, request, answering)

    def _plan(self, head: RequestHead) -> _Plan:
        route = self._routes.find(head.target)
        content_type = PLAIN if route.endpoint in _PLAIN_ENDPOINTS else JSON
        answer = self._way(route, head, content_type)
        traced_already = self._tracer.origin_field in head.headers
        field = head.headers.get if traced_already else None
        trace = partial(self._tracer.begin, route.model, RECEIVING, SENDING, field)
        return _Plan(route, content_type, trace if route.endpoint in OBSERVED else None, traced_already, answer)

    def _way(self, route: Route, head: RequestHead, content_type: str) -> HttpHandler:
        if not route.endpoint:
            return _always(_NOT_FOUND)
        if not route.takes(head.method):
            return _always(HttpResponse(405, _NOT_ALLOWED, content_type))
        if route.error is not None:
            return _always(error_response(route.error, content_type))
        if route.endpoint == "infer":
            return InferPlan(self._infer, route, head.headers).answer
        return partial(self._answers[route.endpoint], route)

    def _live(self, route: Route, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200 if self._server.live else 400, b"", PLAIN)

    def _ready(self, route: Route, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200 if self._server.ready else 400, b"", PLAIN)

    async def _model_ready(self, route: Route, request: HttpRequest) -> HttpResponse:
        if await asyncio.to_thread(self._server.model_ready, route.model, route.version):
            return HttpResponse(200, b"", PLAIN)
        return HttpResponse(400, error_body("Model version not ready"), PLAIN)

    def _server_metadata(self, route: Route, request: HttpRequest) -> HttpResponse:
        return _document(server_document(self._server.metadata()))

    def _model_metadata(self, route: Route, request: HttpRequest) -> HttpResponse:
        return _document(model_document(self._server.model_metadata(route.model, route.version)))

    def _model_config(self, route: Route, request: HttpRequest) -> HttpResponse:
        return _document(config_to_json(self._server.model_config(route.model, route.version)))

    def _statistics(self, route: Route, request: HttpRequest) -> HttpResponse:
        return _document(statistics_document(self._server.statistics(route.model, route.version)))


def _always(response: HttpResponse) -> HttpHandler:
    return lambda _request: response


async def _guarded(plan: _Plan, request: HttpRequest, answering: Awaitable[HttpResponse]) -> HttpResponse:
    """Wait for a response at the border of requests, too."""
    try:
        return await answering
    except Exception as error:  # noqa: BLE001 - as above
        return _failure(plan, request, error)


def _failure(plan: _Plan, request: HttpRequest, error: Exception) -> HttpResponse:
    if not isinstance(error, InferenceError):
        _log.error("failed to answer %s %s", request.method, request.target, exc_info=error)
        error = InternalError(f"{type(error).__name__}: {error}")
    return error_response(error, plan.content_type)


def _document(document: object) -> HttpResponse:
    return HttpResponse(200, orjson.dumps(document), JSON)

"""The protocol over HTTP, free of any transport: a request in, a response out."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING

import orjson
from charonia.config import config_to_json
from charonia.errors import InferenceError, InternalError, InvalidArgumentError, UnsupportedError

from charonia_frontend_http.documents import index_document, model_document, server_document
from charonia_frontend_http.infer_request import decode_infer
from charonia_frontend_http.infer_response import ResponseEncoder
from charonia_frontend_http.json_access import load_json, take_bool, take_object
from charonia_frontend_http.message import JSON, PLAIN, HttpResponse, error_body, error_response
from charonia_frontend_http.outbox import Outbox
from charonia_frontend_http.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charonia.mailbox import Mailbox
    from charonia.model import Model
    from charonia.request import InferenceResponse
    from charonia.server import Server

    from charonia_frontend_http.message import HttpRequest
    from charonia_frontend_http.routes import Route

__all__ = ["HttpApplication"]

_log = logging.getLogger(__name__)

_NOT_FOUND = HttpResponse(404, error_body("Not Found"), PLAIN)
_NOT_ALLOWED = error_body("Method Not Allowed")
_PLAIN_ENDPOINTS = frozenset({"live", "ready", "model_ready", "infer"})
"""As in the reference, refusals of these endpoints are `text/plain`; the body is JSON nevertheless."""


class HttpApplication:
    """Answers requests. One per event loop.

    Args:
        server: the server that answers.
        mailbox: the way from instance threads into this application's loop.
        max_input_size: the largest JSON document, or JSON or raw tensor, in bytes.
    """

    def __init__(self, server: Server, mailbox: Mailbox, max_input_size: int) -> None:
        self._server = server
        self._mailbox = mailbox
        self._max_input_size = max_input_size
        self._routes = Routes()
        self._outbox = Outbox(server)
        self._encoders: weakref.WeakKeyDictionary[Model, ResponseEncoder] = weakref.WeakKeyDictionary()
        self._endpoints: Mapping[str, Callable[[Route, HttpRequest], HttpResponse]] = {
            "live": self._live,
            "ready": self._ready,
            "model_ready": self._model_ready,
            "server_metadata": self._server_metadata,
            "model_metadata": self._model_metadata,
            "model_config": self._model_config,
            "index": self._index,
        }

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer a request. Does not raise, except where the caller's task is cancelled: then the inference is, too."""
        route = self._routes.find(request.target)
        if not route.endpoint:
            return _NOT_FOUND
        content_type = PLAIN if route.endpoint in _PLAIN_ENDPOINTS else JSON
        if request.method != route.method:
            return HttpResponse(405, _NOT_ALLOWED, content_type)
        if route.error is not None:
            return error_response(route.error, content_type)
        return await self._dispatch(route, request, content_type)

    async def _dispatch(self, route: Route, request: HttpRequest, content_type: str) -> HttpResponse:
        try:
            if route.endpoint == "infer":
                return await self._infer(route, request)
            return self._endpoints[route.endpoint](route, request)
        except InferenceError as error:
            return error_response(error, content_type)
        except Exception as error:  # noqa: BLE001 - the border of requests: a fault of ours is told and survived
            _log.exception("failed to answer %s %s", request.method, request.target)
            return error_response(InternalError(f"{type(error).__name__}: {error}"), content_type)

    async def _infer(self, route: Route, request: HttpRequest) -> HttpResponse:
        model = self._server.get(route.model, route.version)
        if model.decoupled:
            raise UnsupportedError("HTTP end point doesn't support models with decoupled transaction policy")
        headers = request.headers
        coding = headers.get("Content-Encoding")
        if coding and coding != "identity":
            error = UnsupportedError("Unsupported compression type")
            return error_response(error, PLAIN)
        answer: asyncio.Future[InferenceResponse] = asyncio.get_running_loop().create_future()
        post = self._mailbox.post

        def deliver(response: InferenceResponse) -> None:
            if response.final and not answer.done():
                answer.set_result(response)

        try:
            decoded = decode_infer(
                model,
                route.version,
                request.body,
                headers.get("Inference-Header-Content-Length"),
                self._max_input_size,
                lambda response: post(deliver, response),
            )
        except InferenceError as error:
            return error_response(error, JSON)
        self._outbox.put(decoded.request, answer)
        try:
            response = await answer
        except InferenceError as error:  # refused: what fails later is told by the response
            return error_response(error, JSON)
        except asyncio.CancelledError:
            decoded.request.cancel()
            raise
        if response.error is not None:
            raise response.error
        return self._encoder(model).encode(decoded, response)

    def _encoder(self, model: Model) -> ResponseEncoder:
        encoder = self._encoders.get(model)
        if encoder is None:
            encoder = self._encoders[model] = ResponseEncoder(model)
        return encoder

    def _live(self, route: Route, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200 if self._server.live else 400, b"", PLAIN)

    def _ready(self, route: Route, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200 if self._server.ready else 400, b"", PLAIN)

    def _model_ready(self, route: Route, request: HttpRequest) -> HttpResponse:
        if self._server.model_ready(route.model, route.version):
            return HttpResponse(200, b"", PLAIN)
        return HttpResponse(400, error_body("Model version not ready"), PLAIN)

    def _server_metadata(self, route: Route, request: HttpRequest) -> HttpResponse:
        return _document(server_document(self._server.metadata()))

    def _model_metadata(self, route: Route, request: HttpRequest) -> HttpResponse:
        return _document(model_document(self._server.model_metadata(route.model, route.version)))

    def _model_config(self, route: Route, request: HttpRequest) -> HttpResponse:
        return _document(config_to_json(self._server.model_config(route.model, route.version)))

    def _index(self, route: Route, request: HttpRequest) -> HttpResponse:
        ready = False
        if request.body:
            wanted = take_object(load_json(request.body))
            if "ready" in wanted:
                try:
                    ready = take_bool(wanted["ready"], "")
                except InvalidArgumentError:
                    raise InvalidArgumentError("Invalid value for 'ready': expected a boolean") from None
        return _document(index_document(self._server.index(ready=ready)))


def _document(document: object) -> HttpResponse:
    return HttpResponse(200, orjson.dumps(document), JSON)

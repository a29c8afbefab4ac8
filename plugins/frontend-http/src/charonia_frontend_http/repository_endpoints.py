"""The model repository's endpoints: the index, loading and unloading."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from charonia.errors import InvalidArgumentError, UnsupportedError

from charonia_frontend_http.documents import index_document
from charonia_frontend_http.json_access import load_json, take_bool, take_object, wrong_type
from charonia_frontend_http.message import JSON, HttpResponse

if TYPE_CHECKING:
    from charonia.server import Server

    from charonia_frontend_http.message import HttpRequest
    from charonia_frontend_http.routes import Route

__all__ = ["RepositoryEndpoints"]


class RepositoryEndpoints:
    """Answers requests about the repository. What takes time, or reads files, runs outside the event loop.

    Args:
        server: the server that has the models.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def index(self, route: Route, request: HttpRequest) -> HttpResponse:
        """List the models and their states; as in the reference, a repository's name in the path is ignored."""
        ready = False
        if request.body:
            wanted = take_object(load_json(request.body))
            if "ready" in wanted:
                try:
                    ready = take_bool(wanted["ready"], "")
                except InvalidArgumentError:
                    raise InvalidArgumentError("Invalid value for 'ready': expected a boolean") from None
        rows = await asyncio.to_thread(self._server.index, ready=ready)
        return HttpResponse(200, orjson.dumps(index_document(rows)), JSON)

    async def load(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Load a model, and answer when it serves or has failed to."""
        _refuse_repository(route)
        overrides = _load_parameters(request.body)
        self._server.require_explicit_control()
        for name in overrides:
            raise UnsupportedError(
                f"the load parameter '{name}' is not supported yet: change the files of model '{route.model}' in its repository"
            )
        await asyncio.to_thread(self._server.load, route.model)
        return HttpResponse(200, b"", JSON)

    async def unload(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Take a model out of service; what it has accepted is finished after the answer.

        No model depends on another one yet, so that `unload_dependents` makes no difference, whatever its value: as in the
        reference, a wrong one is no error.
        """
        _refuse_repository(route)
        _parameters(request.body)
        self._server.require_explicit_control()
        await asyncio.to_thread(self._server.unload, route.model)
        return HttpResponse(200, b"", JSON)


def _refuse_repository(route: Route) -> None:
    if route.repository:
        raise UnsupportedError("'repository_name' specification is not supported")


def _parameters(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    parameters = take_object(load_json(body)).get("parameters", {})
    if type(parameters) is not dict:
        raise InvalidArgumentError("attempt to get members for non-object")
    return parameters


def _load_parameters(body: bytes) -> dict[str, str]:
    """Read what is to be loaded instead of what lies in the repository."""
    parameters = _parameters(body)
    for name, value in parameters.items():
        if name != "config" and not name.startswith("file:"):
            raise InvalidArgumentError("unexpected error on creating Triton parameter")
        if type(value) is not str:
            raise wrong_type("string")
    return parameters

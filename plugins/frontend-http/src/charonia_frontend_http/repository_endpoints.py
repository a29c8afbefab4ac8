"""The model repository's endpoints: the index, loading and unloading."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import orjson
from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia.http_message import HttpResponse
from charonia.overrides import FILE_PREFIX

from charonia_frontend_http.documents import index_document
from charonia_frontend_http.json_access import load_json, take_bool, take_object, wrong_type
from charonia_frontend_http.large_json import read_beside
from charonia_frontend_http.message import JSON

if TYPE_CHECKING:
    from charonia.http_message import HttpRequest
    from charonia.server import Server

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
        config, files = await read_beside(len(request.body), _load_parameters, request.body)
        self._server.require_explicit_control()
        await asyncio.to_thread(self._server.load, route.model, config=config, files=files)
        return HttpResponse(200, b"", JSON)

    async def unload(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Take a model out of service; what it has accepted is finished after the answer.

        As in the reference, a value of `unload_dependents` that is neither true nor false is no error, and counts as false.
        """
        _refuse_repository(route)
        dependents = _parameters(request.body).get("unload_dependents") is True
        self._server.require_explicit_control()
        await asyncio.to_thread(self._server.unload, route.model, unload_dependents=dependents)
        return HttpResponse(200, b"", JSON)


def _refuse_repository(route: Route) -> None:
    if route.repository:
        raise UnsupportedError("'repository_name' specification is not supported")


def _parameters(body: bytes | memoryview) -> dict[str, Any]:
    if not body:
        return {}
    parameters = take_object(load_json(body)).get("parameters", {})
    if type(parameters) is not dict:
        raise InvalidArgumentError("attempt to get members for non-object")
    return parameters


def _load_parameters(body: bytes | memoryview) -> tuple[str | None, dict[str, bytes]]:
    """Read what is to be loaded instead of what lies in the repository: a configuration, and files by their paths."""
    config: str | None = None
    files: dict[str, bytes] = {}
    for name, value in _parameters(body).items():
        if name != "config" and not name.startswith(FILE_PREFIX):
            raise InvalidArgumentError("unexpected error on creating Triton parameter")
        if type(value) is not str:
            raise wrong_type("string")
        if name == "config":
            config = value
        else:
            files[name.removeprefix(FILE_PREFIX)] = _content(name, value)
    return config, files


def _content(name: str, text: str) -> bytes:
    """Decode a file's content, which some clients break into lines."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise InvalidArgumentError(
            f"the load parameter {name!r} is no base64 ({error}): give the file's content encoded in it"
        ) from error

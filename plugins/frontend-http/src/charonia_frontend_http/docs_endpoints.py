"""The endpoints that describe the server to people and programs: the OpenAPI document, and a page to read and try it."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import TYPE_CHECKING

import orjson
from charonia.errors import InferenceError
from charonia.http_message import HttpResponse

from charonia_frontend_http.message import JSON
from charonia_frontend_http.openapi_document import openapi_document

if TYPE_CHECKING:
    from charonia.http_message import HttpRequest
    from charonia.model import Model
    from charonia.server import Server

    from charonia_frontend_http.routes import Route

__all__ = ["DocsEndpoints"]

_FILES = {
    "docs_page": ("page.html", "text/html; charset=utf-8"),
    "docs_style": ("page.css", "text/css; charset=utf-8"),
    "docs_script": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    # nothing but what this server gives: the page works without a network, and what a model is called can do no harm
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class DocsEndpoints:
    """Answers requests for the document and for the page. What reads files runs outside the event loop.

    Args:
        server: the server that has the models.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def openapi(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Describe the server with the models that serve at this moment."""
        served = await asyncio.to_thread(self._served)
        document = openapi_document(self._server.metadata(), served)
        return HttpResponse(200, orjson.dumps(document), JSON)

    async def page(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Give the page, its style or its script."""
        name, content_type = _FILES[route.endpoint]
        content = await asyncio.to_thread(resources.files(__package__).joinpath("docs", name).read_bytes)
        return HttpResponse(200, content, content_type, _HEADERS)

    def _served(self) -> dict[str, list[Model]]:
        served: dict[str, list[Model]] = {}
        for row in self._server.index(ready=True):
            try:
                model = self._server.get(row.name, int(row.version))
            except InferenceError:  # it has just been unloaded, or others have its name
                continue
            served.setdefault(row.name, []).append(model)
        return {name: sorted(served[name], key=lambda model: model.version) for name in sorted(served)}

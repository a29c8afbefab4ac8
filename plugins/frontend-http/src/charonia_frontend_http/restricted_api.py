"""The parts of the protocol that only callers with a key may use. Without the option none of this runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.http_message import HttpResponse

from charonia_frontend_http.message import PLAIN, error_body
from charonia_frontend_http.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.http_message import HttpAnswering, HttpRequest
    from charonia.restricted_access import Restriction
    from charonia.transport import HttpHandler

__all__ = ["CATEGORY", "RestrictedApi"]

_FORBIDDEN = 403

CATEGORY: Mapping[str, str] = {
    **dict.fromkeys(("live", "ready", "model_ready"), "health"),
    **dict.fromkeys(("server_metadata", "model_metadata"), "metadata"),
    **dict.fromkeys(("openapi", "docs_page", "docs_style", "docs_script"), "metadata"),
    **dict.fromkeys(("infer", "generate", "generate_stream", "predict"), "inference"),
    **dict.fromkeys(("system_status", "system_register", "system_unregister"), "shared-memory"),
    **dict.fromkeys(("cuda_status", "cuda_register", "cuda_unregister"), "shared-memory"),
    "trace_setting": "trace",
    "log_setting": "logging",
    "model_config": "model-config",
    **dict.fromkeys(("index", "load", "unload"), "model-repository"),
    "statistics": "statistics",
}
"""The category of each endpoint. What describes the models belongs to the metadata."""


class RestrictedApi:
    """Lets requests for restricted parts through if they carry the key; as in the reference, before anything else is looked at.

    Args:
        handle: answers requests.
        restrictions: by category; the key is the name of a header field, in any case.
    """

    def __init__(self, handle: HttpHandler, restrictions: Mapping[str, Restriction]) -> None:
        self._handle = handle
        self._routes = Routes()
        self._restrictions = {
            endpoint: restrictions[category] for endpoint, category in CATEGORY.items() if category in restrictions
        }

    def handle(self, request: HttpRequest) -> HttpAnswering:
        """Answer a request, or refuse it with the name of what is missing."""
        restriction = self._restrictions.get(self._routes.find(request.target).endpoint)
        if restriction is not None and not restriction.admits(request.headers.get(restriction.key)):
            text = f"This API is restricted, expecting header '{restriction.key}'"
            return HttpResponse(_FORBIDDEN, error_body(text), PLAIN)
        return self._handle(request)

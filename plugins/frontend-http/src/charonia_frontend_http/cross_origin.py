"""Pages of other origins: which of them a browser lets read the answers (CORS). Without the option none of this runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError
from charonia.http_message import HttpResponse, settled

from charonia_frontend_http.message import PLAIN

if TYPE_CHECKING:
    from collections.abc import Collection

    from charonia.http_message import HttpRequest
    from charonia.transport import HttpHandler

__all__ = ["CrossOrigin", "read_origins"]

_PREFLIGHT_SECONDS = "600"
_READABLE = "Inference-Header-Content-Length, Content-Encoding"
"""Header fields of answers that a page may read, beside those that it may anyway."""


def read_origins(text: str) -> frozenset[str]:
    """Read the value of `--http-cors-allow-origin`: origins with commas between them, or `*` for all.

    Raises:
        CharoniaError: one is no origin, so that no browser would ever send it.
    """
    origins = [origin.strip().lower() for origin in text.split(",") if origin.strip()]
    for origin in origins:
        scheme, _, host = origin.partition("://")
        if origin not in {"*", "null"} and not (scheme and host and "/" not in host):
            raise CharoniaError(
                f"--http-cors-allow-origin: {origin!r} is no origin; expected such as "
                "https://app.example:8443, without a path, or *"
            )
    return frozenset(origins)


class CrossOrigin:
    """Answers preflight requests of allowed origins, and marks the answers to them.

    An origin that is not allowed is answered as anyone who is no browser: it is the browser that keeps the answer from
    the page.

    Args:
        handle: answers requests.
        origins: the allowed ones in lower case; `*` is every one.
    """

    def __init__(self, handle: HttpHandler, origins: Collection[str]) -> None:
        self._handle = handle
        self._origins = origins

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        headers = request.headers
        origin = headers.get("Origin")
        anyone = "*" in self._origins
        if origin is None or not (anyone or origin.lower() in self._origins):
            response = await settled(self._handle(request))
            # a cache between must not give this answer, which lacks the mark, to a page that is allowed
            return response if anyone else _marked(response, {"Vary": "Origin"})
        mark = (
            {"Access-Control-Allow-Origin": "*"}
            if anyone
            else {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        )
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in headers:
            return HttpResponse(200, b"", PLAIN, mark | _permission(request))
        response = await settled(self._handle(request))
        return _marked(response, mark | {"Access-Control-Expose-Headers": _READABLE})


def _permission(request: HttpRequest) -> dict[str, str]:
    """Tell a browser what the page may send: all that the protocol has, and whatever header fields it asks for."""
    told = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Max-Age": _PREFLIGHT_SECONDS}
    wanted = request.headers.get("Access-Control-Request-Headers")
    return told | {"Access-Control-Allow-Headers": wanted} if wanted else told


def _marked(response: HttpResponse, mark: dict[str, str]) -> HttpResponse:
    """Add header fields; on a copy, since some responses are made once for all requests."""
    headers = {**response.headers, **mark}
    if "Vary" in mark and "Vary" in response.headers:
        headers["Vary"] = f"{response.headers['Vary']}, {mark['Vary']}"
    return replace(response, headers=headers)

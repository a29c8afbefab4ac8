"""The media types of bodies, and the form in which errors are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from charonia.errors import UnavailableError
from charonia.http_message import HttpResponse

from charonia_frontend_http.status import STATUS

if TYPE_CHECKING:
    from charonia.errors import InferenceError

__all__ = ["BINARY", "EVENTS", "JSON", "JSON_SIZE", "PLAIN", "error_body", "error_response"]

JSON = "application/json"
PLAIN = "text/plain"
BINARY = "application/octet-stream"
EVENTS = "text/event-stream; charset=utf-8"

JSON_SIZE = "Inference-Header-Content-Length"
"""The header field that tells how many bytes of a body are JSON; behind them lie tensors in their binary form."""


def error_response(error: InferenceError, content_type: str = JSON, status: int = 0) -> HttpResponse:
    """Tell a client an error, in the protocol's form: a JSON object with the text; and when to ask again, if it says so."""
    seconds = error.retry_after_seconds if isinstance(error, UnavailableError) else 0
    headers = {"Retry-After": str(seconds)} if seconds else {}
    return HttpResponse(status or STATUS[error.code], error_body(str(error)), content_type, headers)


def error_body(text: str) -> bytes:
    """Write the body of an error. Text from a client may be no UTF-8: what cannot be told is replaced."""
    return orjson.dumps({"error": text.encode("utf-8", "replace").decode()})

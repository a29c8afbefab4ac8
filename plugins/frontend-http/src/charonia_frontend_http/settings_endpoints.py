"""The endpoints of the trace and log settings: GET tells them, POST changes those that its document names and tells all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from charonia.http_message import HttpResponse

from charonia_frontend_http.json_access import load_json, take_bool, take_object, take_unsigned, wrong_type
from charonia_frontend_http.message import JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from charonia.http_message import HttpRequest
    from charonia.server import Server

    from charonia_frontend_http.routes import Route

__all__ = ["SettingsEndpoints"]

_TRACE_NUMBERS = ("trace_rate", "trace_count", "log_frequency")
_LOG_SWITCHES = ("log_info", "log_warning", "log_error")


class SettingsEndpoints:
    """Answers requests about settings.

    Args:
        server: the server that has them.

    Attributes:
        by_name: the endpoints, by the names that the routes have for them.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.by_name: Mapping[str, Callable[[Route, HttpRequest], HttpResponse]] = {
            "trace_setting": self._trace,
            "log_setting": self._log,
        }

    def _trace(self, route: Route, request: HttpRequest) -> HttpResponse:
        told = self._server.trace_setting(route.model, _trace_changes(_document(request))).describe()
        written = {name: values if name == "trace_level" else values[0] for name, values in told.items()}
        return HttpResponse(200, orjson.dumps(written), JSON)

    def _log(self, route: Route, request: HttpRequest) -> HttpResponse:
        told = self._server.log_settings.update(_log_changes(_document(request))).describe()
        return HttpResponse(200, orjson.dumps(told), JSON)


def _document(request: HttpRequest) -> dict[str, Any]:
    """Give what is to be changed: nothing by a GET, whose body is not looked at; a POST must have a document."""
    return {} if request.method == "GET" else take_object(load_json(request.body))


def _trace_changes(document: dict[str, Any]) -> dict[str, Sequence[str] | None]:
    """Take the changes out of a document; as in the reference, null takes a change back."""
    if "trace_file" in document:  # refused, whatever else there is
        return {"trace_file": None}
    changes: dict[str, Sequence[str] | None] = {}
    if "trace_level" in document:
        levels = document["trace_level"]
        if levels is not None and type(levels) is not list:
            raise wrong_type("array")
        changes["trace_level"] = None if levels is None else [_string(level) for level in levels]
    for name in _TRACE_NUMBERS:
        if name in document:
            changes[name] = None if document[name] is None else [_string(document[name])]
    return changes


def _log_changes(document: dict[str, Any]) -> dict[str, object]:
    """Take the changes out of a document; as in the reference, a null is none."""
    changes: dict[str, object] = {}
    for name, value in document.items():
        if value is None:
            continue
        if name in _LOG_SWITCHES:
            changes[name] = take_bool(value, "")
        elif name == "log_verbose_level":
            changes[name] = take_unsigned(value, "")
        else:
            changes[name] = _string(value) if name == "log_format" else value
    return changes


def _string(value: object) -> str:
    if type(value) is not str:
        raise wrong_type("string")
    return value

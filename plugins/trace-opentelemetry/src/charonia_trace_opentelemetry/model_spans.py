"""Spans that models' own code makes: with the tracers that OpenTelemetry's API gives it, and no set-up of its own.

    tracer = opentelemetry.trace.get_tracer(__name__)

    class TritonPythonModel:
        def execute(self, requests):
            with tracer.start_as_current_span("tokenise"):
                …

They go where the spans of the request go. In a request that is not traced, and outside of requests, they are not recorded.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from opentelemetry import context as contexts
from opentelemetry import trace

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ["of_server", "serve_models", "unserve_models"]

_PROVIDER = "charonia-tracer-provider"
"""The key under which a context has the provider of the server whose request it belongs to."""

_lock = threading.Lock()  # guards `_open`
_open: list[trace.TracerProvider] = []


def of_server(provider: trace.TracerProvider, context: Context) -> Context:
    """Give a context in which models' spans go to a server's provider."""
    return contexts.set_value(_PROVIDER, provider, context)


def serve_models(provider: trace.TracerProvider) -> None:
    """Have models' spans go to a server's provider, from now until `unserve_models`.

    Nothing else of the process is touched if its program has set a provider itself.
    """
    with _lock:
        _open.append(provider)
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # nobody has set one
            trace.set_tracer_provider(_ModelTracerProvider())


def unserve_models(provider: trace.TracerProvider) -> None:
    """Have no more of them go there. Idempotent."""
    with _lock:
        if provider in _open:
            _open.remove(provider)


class _ModelTracerProvider(trace.TracerProvider):
    """The process's provider, which is set once and for all: it asks that of the server, of which there may be several."""

    def get_tracer(self, *scope: Any, **named: Any) -> trace.Tracer:
        return _ModelTracer(scope, named)


class _ModelTracer(trace.Tracer):
    def __init__(self, scope: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._scope = scope
        self._named = named

    def start_span(self, *arguments: Any, **named: Any) -> trace.Span:
        return self._tracer().start_span(*arguments, **named)

    def start_as_current_span(self, *arguments: Any, **named: Any) -> Any:
        return self._tracer().start_as_current_span(*arguments, **named)

    def _tracer(self) -> trace.Tracer:
        newest = _open[-1:] or [trace.NoOpTracerProvider()]
        provider = contexts.get_value(_PROVIDER) or newest[0]
        assert isinstance(provider, trace.TracerProvider)  # noqa: S101 - nobody else has the key
        return provider.get_tracer(*self._scope, **self._named)

"""OpenTelemetry traces of the Charonia inference server. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_trace_writers() -> dict[str, str]:
    """Offer the mode of that name."""
    return {"opentelemetry": "charonia_trace_opentelemetry.writer:OpenTelemetryWriter"}

"""TensorRT plans for the Charonia inference server. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_backends() -> dict[str, str]:
    """Offer the backend under the reference's name."""
    return {"tensorrt": "charonia_backend_tensorrt.backend:TensorRTBackend"}


@hookimpl
def charonia_commands() -> dict[str, str]:
    """Offer the command that makes plans."""
    return {"build-plan": "charonia_backend_tensorrt.command:build_plan"}

"""TensorFlow models for the Charonia inference server. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_backends() -> dict[str, str]:
    """Offer the backend under the reference's name."""
    return {"tensorflow": "charonia_backend_tensorflow.backend:TensorFlowBackend"}

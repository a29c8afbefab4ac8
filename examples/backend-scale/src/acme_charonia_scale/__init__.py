"""Two backends of a third party. This module only tells where they are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_backends() -> dict[str, str]:
    """Offer both backends by the names that a model's configuration says."""
    return {
        "scale": "acme_charonia_scale.scale:ScaleBackend",
        "countdown": "acme_charonia_scale.countdown:CountdownBackend",
    }

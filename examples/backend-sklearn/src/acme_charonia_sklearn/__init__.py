"""The backend "sklearn". This module only tells where it is."""

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_backends() -> dict[str, str]:
    """Offer the backend by the name that a model's configuration says."""
    return {"sklearn": "acme_charonia_sklearn.backend:SklearnBackend"}

"""The response cache in the server's memory. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_caches() -> dict[str, str]:
    """Offer the cache under the reference's name."""
    return {"local": "charonia_cache_local.cache:LocalCache"}

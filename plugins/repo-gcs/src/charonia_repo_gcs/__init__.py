"""Model repositories in Google Cloud Storage for the Charonia inference server. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_repositories() -> dict[str, str]:
    """Offer the storage under the scheme of the reference."""
    return {"gs": "charonia_repo_gcs.storage:GcsStorage"}

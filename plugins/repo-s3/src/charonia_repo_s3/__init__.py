"""Model repositories in S3 for the Charonia inference server. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_repositories() -> dict[str, str]:
    """Offer the storage under the scheme of the reference."""
    return {"s3": "charonia_repo_s3.storage:S3Storage"}

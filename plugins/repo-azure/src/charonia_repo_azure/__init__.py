"""Model repositories in Azure Storage for the Charonia inference server. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_repositories() -> dict[str, str]:
    """Offer the storage under the scheme of the reference."""
    return {"as": "charonia_repo_azure.storage:AzureStorage"}

"""Repositories in Azure Storage: as://account/container/path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from adlfs import AzureBlobFileSystem
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential
from charonia.cloud_credentials import cloud_credentials
from charonia.errors import RepositoryError
from charonia.remote_storage import RemoteStorage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.repository import StorageOptions

__all__ = ["AzureStorage"]

_VARIABLES = {
    "account_str": "AZURE_STORAGE_ACCOUNT",
    "account_key": "AZURE_STORAGE_KEY",
    "auth_type": "AZURE_STORAGE_AUTH_TYPE",
    "client_id": "AZURE_STORAGE_CLIENT_ID",
}
"""What an entry of the reference's file of credentials calls a setting → the reference's environment variable for it."""


class AzureStorage(RemoteStorage):
    """A repository in Azure Storage.

    Credentials come from the reference's file, or from its environment variables, or from AZURE_STORAGE_CONNECTION_STRING. With
    the type `managed_identity` or `default` Azure's own chain finds them, and renews them. Else there are none.

    Raises:
        RepositoryError: the URL names no container.
    """

    cache_variable = "TRITON_AZURE_MOUNT_DIRECTORY"

    def __init__(self, url: str, options: StorageOptions | None = None) -> None:
        super().__init__(url, options)
        account, _, root = re.sub("/+", "/", url.removeprefix("as://")).strip("/").partition("/")
        if not root:
            raise RepositoryError(f'"{url}" names no container: expected as://account/container/path')
        self.account, self.root = account, root

    def open_file_system(self) -> AzureBlobFileSystem:
        """Make a client."""
        files = AzureBlobFileSystem(
            **self._access(), use_listings_cache=False, skip_instance_cache=True, assume_container_exists=True
        )
        # the storage tries again itself, and knows for how long; adlfs passes no such setting on
        files.service_client._config.retry_policy.total_retries = 0  # noqa: SLF001
        return files

    def denies(self, error: Exception) -> bool:
        """Know Azure's refusals by their status."""
        return isinstance(error, PermissionError) or getattr(error, "status_code", None) in {401, 403}

    def _access(self) -> dict[str, Any]:
        environment = self.options.environment
        entry = cloud_credentials("as", self.url, environment)
        if entry is None:
            connection = environment.get("AZURE_STORAGE_CONNECTION_STRING")
            if connection:
                return {"connection_string": connection}
            entry = {key: environment.get(variable, "") for key, variable in _VARIABLES.items()}
        name, dot, _ = self.account.partition(".")
        access: dict[str, Any] = {"account_name": entry.get("account_str") or name}
        if dot:
            access["account_host"] = self.account
        identity = entry.get("client_id")
        match entry.get("auth_type", ""):
            case "managed_identity":
                return access | {"credential": ManagedIdentityCredential(client_id=identity or None)}
            case "default":
                return access | {"credential": DefaultAzureCredential(managed_identity_client_id=identity or None)}
        return access | ({"account_key": entry["account_key"]} if entry.get("account_key") else {"anon": True})

    def describe(self, info: Mapping[str, Any]) -> tuple[str, str]:
        """Give the ETag, and the MD5 where whoever uploaded the file told it."""
        settings = info.get("content_settings") or {}
        return str(info["etag"]), bytes(settings.get("content_md5") or b"").hex()

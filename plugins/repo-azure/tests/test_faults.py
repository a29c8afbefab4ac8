"""What a store and its network may do to downloads, and to servers whose models lie in Azure Storage."""

from __future__ import annotations

import pytest
from azure.storage.blob import ContainerClient
from charonia.testing.remote_storage_suite import RemoteStorageSuite
from charonia_repo_azure.storage import AzureStorage


class TestAzureFaults(RemoteStorageSuite):
    kind = AzureStorage

    @pytest.fixture(autouse=True)
    def _store(self, container, connection, endpoint):
        self.container, self.connection, self.place = container, connection, endpoint
        with ContainerClient.from_connection_string(connection(endpoint), "models") as self.blobs:
            yield

    def url_at(self, place):
        return "as://devstoreaccount1/models/production"

    def environment_at(self, place):
        return {"AZURE_STORAGE_CONNECTION_STRING": self.connection(place)}

    def upload(self, path, content):
        self.blobs.upload_blob(f"production/{path}", content, overwrite=True)

    def clear(self):
        self.container.rm("models/production", recursive=True)

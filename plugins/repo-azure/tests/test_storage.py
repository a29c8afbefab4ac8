"""Repositories in Azure Storage, on a server of its protocol."""

from __future__ import annotations

import json

import pytest
from charonia.errors import RepositoryError
from charonia.repository import StorageOptions
from charonia.testing.repository_suite import RepositoryStorageSuite
from charonia_repo_azure.storage import AzureStorage

ACCOUNT = "devstoreaccount1"
KEY = "Y2hhcm9uaWEtdGVzdC1rZXk="


class TestAzureStorage(RepositoryStorageSuite):
    @pytest.fixture(autouse=True)
    def _store(self, container, connection, endpoint, tmp_path, monkeypatch):
        monkeypatch.setattr(AzureStorage, "pauses_seconds", ())
        self.container = container
        environment = {"AZURE_STORAGE_CONNECTION_STRING": connection(endpoint)}
        self.options = StorageOptions(cache_directory=str(tmp_path / "cache"), environment=environment)

    def make_storage(self, directory):
        for path in directory.rglob("*"):
            if path.is_file():
                self.container.pipe(f"models/production/{path.relative_to(directory)}", path.read_bytes())
        return AzureStorage(f"as://{ACCOUNT}/models/production", self.options)

    def make_missing_storage(self):
        return AzureStorage(f"as://{ACCOUNT}/models/nothing", self.options)


@pytest.mark.parametrize(
    ("url", "account", "root"),
    [
        ("as://account/models", "account", "models"),
        ("as://account//models/a//b/", "account", "models/a/b"),
        ("as://account.blob.core.windows.net/models", "account.blob.core.windows.net", "models"),
    ],
)
def test_urls_are_the_references(url, account, root):
    """The URL tells the account, the container and the path there; doubled slashes are one."""
    storage = AzureStorage(url)
    assert (storage.account, storage.root) == (account, root)


@pytest.mark.parametrize("url", ["as://", "as://account", "as://account/"])
def test_url_without_a_container_is_refused(url):
    """A URL that names no container is an error that shows the form."""
    with pytest.raises(RepositoryError, match="names no container"):
        AzureStorage(url)


def test_file_of_credentials_wins_over_variables(tmp_path):
    """Where the reference's file is named, its entry counts: account and key, by the longest beginning of the URL."""
    named = tmp_path / "clouds.json"
    named.write_text(json.dumps({"as": {"": {}, "as://one/": {"account_str": "other", "account_key": KEY}}}))
    environment = {"TRITON_CLOUD_CREDENTIAL_PATH": str(named), "AZURE_STORAGE_ACCOUNT": "third"}
    files = AzureStorage("as://one/models", StorageOptions(environment=environment)).open_file_system()
    assert (files.account_name, files.account_key) == ("other", KEY)


def test_variables_of_the_reference():
    """Without a file, the account and the key come from the environment."""
    environment = {"AZURE_STORAGE_ACCOUNT": "third", "AZURE_STORAGE_KEY": KEY}
    files = AzureStorage("as://one/models", StorageOptions(environment=environment)).open_file_system()
    assert (files.account_name, files.account_key) == ("third", KEY)

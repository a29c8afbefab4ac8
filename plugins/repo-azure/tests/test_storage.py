"""Repositories in Azure Storage, on a server of its protocol."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from adlfs import AzureBlobFileSystem
from charonia.errors import RepositoryError
from charonia.repository import StorageOptions
from charonia.testing.repository_suite import RepositoryStorageSuite
from charonia_repo_azure.storage import AzureStorage

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.process import free_port
from benchmarks.tools.download import UnavailableError, cache_folder, run_step

PACKAGE = "azurite@3.37.0"
QUIET = ["--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--ignore-scripts"]
ACCOUNT = "devstoreaccount1"
KEY = "Y2hhcm9uaWEtdGVzdC1rZXk="
"""A key of the tests' own, which the server is told to take."""


@pytest.fixture(scope="module")
def program():
    """Give the storage server's program in the user's cache; where there is no Node.js, tell so."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm, the storage server's language and its installer")
    home = cache_folder("charonia-azurite")
    program = home / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        home.mkdir(parents=True, exist_ok=True)
        try:
            run_step("the Azure storage server", ["npm", "install", f"--prefix={home}", *QUIET, PACKAGE])
        except UnavailableError as error:
            pytest.skip(str(error))
    return program


@pytest.fixture(scope="module")
def connection(program, tmp_path_factory):
    """Run a storage server, and give the text that says how to reach it."""
    port = free_port()
    flags = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    process = subprocess.Popen(
        [program, *flags, "--blobHost", "127.0.0.1", "--blobPort", str(port)],
        cwd=tmp_path_factory.mktemp("azurite"),
        env={"PATH": f"{Path(shutil.which('node')).parent}:/usr/bin:/bin", "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        while "successfully listen" not in (line := process.stdout.readline()):
            assert line, "the storage server has ended"
        socket.create_connection(("127.0.0.1", port)).close()
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        yield f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
    finally:
        process.kill()  # asked in order, it would wait for the clients' open connections
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def container(connection):
    """Give a client with an empty container "models"."""
    files = AzureBlobFileSystem(connection_string=connection, skip_instance_cache=True, use_listings_cache=False)
    files.mkdir("models")
    yield files
    files.rm("models", recursive=True)


class TestAzureStorage(RepositoryStorageSuite):
    @pytest.fixture(autouse=True)
    def _store(self, container, connection, tmp_path, monkeypatch):
        monkeypatch.setattr(AzureStorage, "pauses_seconds", ())
        self.container = container
        self.options = StorageOptions(
            cache_directory=str(tmp_path / "cache"), environment={"AZURE_STORAGE_CONNECTION_STRING": connection}
        )

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

"""A server of Azure Storage's protocol, and a container on it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from adlfs import AzureBlobFileSystem

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
def endpoint(program, tmp_path_factory):
    """Run a storage server, and give its host and port."""
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
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()  # asked in order, it would wait for the clients' open connections
        process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="module")
def connection():
    """Make the text that says how to reach a server at a host and port."""

    def connection(place):
        blobs = f"http://{place}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={blobs};"

    return connection


@pytest.fixture
def container(connection, endpoint):
    """Give a client with an empty container "models"."""
    files = AzureBlobFileSystem(
        connection_string=connection(endpoint), skip_instance_cache=True, use_listings_cache=False
    )
    files.mkdir("models")
    yield files
    files.rm("models", recursive=True)

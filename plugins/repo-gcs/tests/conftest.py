"""A server of Google Cloud Storage's protocol, and a bucket on it."""

from __future__ import annotations

import logging
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from gcp_storage_emulator.server import create_server


@pytest.fixture(scope="module")
def endpoint():
    """Run a storage server, and give its host and port."""
    logging.getLogger("gcp_storage_emulator").setLevel(logging.ERROR)
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="models")
    server.start()
    yield f"127.0.0.1:{server._api._httpd.socket.getsockname()[1]}"
    server.stop()


@pytest.fixture
def wipe(endpoint):
    """Empty the bucket."""

    def wipe():
        urlopen(f"http://{endpoint}/wipe?keep-buckets=true").close()

    return wipe


@pytest.fixture
def upload(endpoint, wipe):
    """Put an object into the bucket, which is empty at first: `upload("m/1/model.bin", content)`."""
    wipe()

    def upload(name, content):
        url = f"http://{endpoint}/upload/storage/v1/b/models/o?uploadType=media&name={quote(name, safe='')}"
        urlopen(Request(url, content, {"Content-Type": "application/octet-stream"})).close()

    return upload

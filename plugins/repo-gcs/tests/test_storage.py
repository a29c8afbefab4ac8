"""Repositories in Google Cloud Storage, on a server of its protocol."""

from __future__ import annotations

import json

import pytest
from charonia.errors import RepositoryError
from charonia.repository import StorageOptions
from charonia.testing.repository_suite import RepositoryStorageSuite
from charonia_repo_gcs.storage import GcsStorage


class TestGcsStorage(RepositoryStorageSuite):
    @pytest.fixture(autouse=True)
    def _store(self, upload, endpoint, tmp_path, monkeypatch):
        monkeypatch.setattr(GcsStorage, "pauses_seconds", ())
        self.upload = upload
        environment = {"STORAGE_EMULATOR_HOST": f"http://{endpoint}"}
        self.options = StorageOptions(cache_directory=str(tmp_path / "cache"), environment=environment)

    def make_storage(self, directory):
        for path in directory.rglob("*"):
            if path.is_file():
                self.upload(f"production/{path.relative_to(directory)}", path.read_bytes())
        return GcsStorage("gs://models/production", self.options)

    def make_missing_storage(self):
        return GcsStorage("gs://models/nothing", self.options)


@pytest.mark.parametrize(
    ("url", "root"),
    [("gs://bucket", "bucket"), ("gs://bucket/path", "bucket/path"), ("gs://bucket//a///b/", "bucket/a/b")],
)
def test_urls_are_the_references(url, root):
    """The URL tells the bucket and the path there; doubled slashes are one."""
    assert GcsStorage(url).root == root


def test_url_without_a_bucket_is_refused():
    """A URL that names no bucket is an error that shows the form."""
    with pytest.raises(RepositoryError, match="names no bucket"):
        GcsStorage("gs:///")


def test_file_of_credentials_wins(tmp_path):
    """Of the reference's file, the longest beginning of the URL says which of Google's files is taken."""
    named = tmp_path / "clouds.json"
    named.write_text(json.dumps({"gs": {"": "/one.json", "gs://models": str(tmp_path / "nothing.json")}}))
    storage = GcsStorage("gs://models/m", StorageOptions(environment={"TRITON_CLOUD_CREDENTIAL_PATH": str(named)}))
    with pytest.raises(RepositoryError, match=r"nothing\.json.* is not there"):
        storage.call(lambda files: files.ls("models"))

"""Repositories in S3, on a real server of its protocol."""

from __future__ import annotations

import pytest
from charonia.errors import RepositoryError
from charonia.repository import StorageOptions
from charonia.testing.repository_suite import RepositoryStorageSuite
from charonia_repo_s3.storage import S3Storage


class TestS3Storage(RepositoryStorageSuite):
    @pytest.fixture(autouse=True)
    def _store(self, bucket, endpoint, tmp_path, monkeypatch):
        self.bucket, self.endpoint = bucket, endpoint
        self.options = StorageOptions(cache_directory=str(tmp_path / "cache"))
        monkeypatch.setattr(S3Storage, "pauses_seconds", ())

    def make_storage(self, directory):
        for path in directory.rglob("*"):
            if path.is_file():
                self.bucket.upload_file(str(path), f"production/{path.relative_to(directory)}")
        return S3Storage(f"s3://{self.endpoint}/models/production", self.options)

    def make_missing_storage(self):
        return S3Storage(f"s3://{self.endpoint}/models/nothing", self.options)


@pytest.mark.parametrize(
    ("url", "endpoint", "root"),
    [
        ("s3://bucket/path", None, "bucket/path"),
        ("s3://bucket//path/", None, "bucket/path"),
        ("s3://host:9000/bucket/path", "http://host:9000", "bucket/path"),
        ("s3://http://host:9000/bucket", "http://host:9000", "bucket"),
        ("s3://https://host:9000//bucket/a//b", "https://host:9000", "bucket/a/b"),
    ],
)
def test_urls_are_the_references(url, endpoint, root):
    """Each form of the URL tells where the store is, and the bucket and path there."""
    storage = S3Storage(url)
    assert (storage.endpoint, storage.root) == (endpoint, root)


@pytest.mark.parametrize("url", ["s3://", "s3://host:9000", "s3://https://host:9000/"])
def test_url_without_a_bucket_is_refused(url):
    """A URL that names no bucket is an error that shows the forms."""
    with pytest.raises(RepositoryError, match="names no bucket"):
        S3Storage(url)

"""What a store and its network may do to downloads, and to servers whose models lie in S3."""

from __future__ import annotations

import pytest
from charonia.testing.remote_storage_suite import RemoteStorageSuite
from charonia_repo_s3.storage import S3Storage


class TestS3Faults(RemoteStorageSuite):
    kind = S3Storage

    @pytest.fixture(autouse=True)
    def _store(self, bucket, endpoint):
        self.bucket, self.place = bucket, endpoint

    def url_at(self, place):
        return f"s3://{place}/models/production"

    def upload(self, path, content):
        self.bucket.put_object(Key=f"production/{path}", Body=content)

    def clear(self):
        self.bucket.objects.all().delete()

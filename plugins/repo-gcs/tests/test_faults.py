"""What a store and its network may do to downloads, and to servers whose models lie in Google Cloud Storage."""

from __future__ import annotations

import pytest
from charonia.testing.remote_storage_suite import RemoteStorageSuite
from charonia_repo_gcs.storage import GcsStorage


class TestGcsFaults(RemoteStorageSuite):
    kind = GcsStorage

    @pytest.fixture(autouse=True)
    def _store(self, endpoint, upload, wipe):
        self.place, self._upload, self._wipe = endpoint, upload, wipe

    def url_at(self, place):
        return "gs://models/production"

    def environment_at(self, place):
        return {"STORAGE_EMULATOR_HOST": f"http://{place}"}

    def upload(self, path, content):
        self._upload(f"production/{path}", content)

    def clear(self):
        self._wipe()

"""Repositories in Google Cloud Storage: gs://bucket/path."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charonia.cloud_credentials import cloud_credentials
from charonia.errors import RepositoryError
from charonia.remote_storage import RemoteStorage
from gcsfs.core import GCSFileSystem  # what `gcsfs` itself gives asks for each bucket's kind first, over gRPC
from gcsfs.retry import retry_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.repository import StorageOptions

__all__ = ["GcsStorage"]


class _OneTry(GCSFileSystem):  # type: ignore[misc]  # gcsfs tells no types
    """A file system that asks once: the storage tries again itself, and knows for how long."""

    _request = retry_request(retries=1)(GCSFileSystem._request.__wrapped__)  # noqa: SLF001 - there is no setting for it


class GcsStorage(RemoteStorage):
    """A repository in Google Cloud Storage.

    Credentials come from the reference's file, or from Google's own chain, which renews them: the file of
    GOOGLE_APPLICATION_CREDENTIALS, the account of the machine, none. STORAGE_EMULATOR_HOST is asked without any.

    Raises:
        RepositoryError: the URL names no bucket.
    """

    cache_variable = "TRITON_GCS_MOUNT_DIRECTORY"

    def __init__(self, url: str, options: StorageOptions | None = None) -> None:
        super().__init__(url, options)
        self.root = re.sub("/+", "/", url.removeprefix("gs://")).strip("/")
        if not self.root:
            raise RepositoryError(f'"{url}" names no bucket: expected gs://bucket/path')

    def open_file_system(self) -> GCSFileSystem:
        """Make a client."""
        environment = self.options.environment
        emulator = environment.get("STORAGE_EMULATOR_HOST")
        return _OneTry(
            project=environment.get("GOOGLE_CLOUD_PROJECT", ""),
            access="read_only",
            token=self._credential_file() or ("anon" if emulator else None),
            endpoint_url=_with_protocol(emulator) if emulator else None,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def _credential_file(self) -> str | None:
        """Give the file of Google's that the reference's file names; gcsfs would take the name of none for a password."""
        named = cloud_credentials("gs", self.url, self.options.environment)
        if named and not Path(named).is_file():
            raise RepositoryError(f'the file "{named}" of credentials for "{self.url}" is not there')
        return named or None

    def denies(self, error: Exception) -> bool:
        """Know Google's refusals, which gcsfs tells by their text."""
        refused = isinstance(error, OSError) and str(error).startswith("Forbidden")
        return refused or getattr(error, "code", None) in {401, "401"}

    def describe(self, info: Mapping[str, Any]) -> tuple[str, str]:
        """Give the generation, and the MD5 where there is one: files that were composed of others have none."""
        md5 = base64.b64decode(info.get("md5Hash", "")).hex()
        return f"{info.get('generation', '')}/{info.get('etag', '')}", md5


def _with_protocol(place: str) -> str:
    return place if "://" in place else f"http://{place}"

"""Repositories in S3.

s3://bucket/path                          Amazon's own
s3://host:port/bucket/path                another store, over HTTP
s3://https://host:port/bucket/path        another store, over HTTPS
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from charonia.cloud_credentials import cloud_credentials
from charonia.errors import RepositoryError
from charonia.remote_storage import RemoteStorage
from s3fs import S3FileSystem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.repository import StorageOptions

__all__ = ["S3Storage"]

_ELSEWHERE = re.compile(r"(?P<protocol>https?://)?(?P<host>[0-9A-Za-z.-]+(?::\d+)?)/(?P<root>[0-9a-z.-]+(?:/.*)?)")

_SETTINGS = {
    "key_id": "key",
    "secret_key": "secret",
    "session_token": "token",
    "profile": "profile",
}
"""What an entry of the reference's file of credentials calls a setting → what s3fs calls it."""


class S3Storage(RemoteStorage):
    """A repository in S3. Credentials come from the reference's file, or from Amazon's own chain, which renews them.

    Raises:
        RepositoryError: the URL names no bucket.
    """

    cache_variable = "TRITON_AWS_MOUNT_DIRECTORY"

    def __init__(self, url: str, options: StorageOptions | None = None) -> None:
        super().__init__(url, options)
        self.endpoint, self.root = _parse(url)

    def open_file_system(self) -> S3FileSystem:
        """Make a client."""
        entry = cloud_credentials("s3", self.url, self.options.environment) or {}
        files = S3FileSystem(
            **{name: entry[key] for key, name in _SETTINGS.items() if entry.get(key)},
            endpoint_url=self.endpoint,
            client_kwargs={"region_name": entry["region"]} if entry.get("region") else {},
            config_kwargs={
                "s3": {"addressing_style": "path" if self.endpoint else "auto"},
                "retries": {"max_attempts": 0},  # the storage tries again itself
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        files.retries = 1
        return files

    def describe(self, info: Mapping[str, Any]) -> tuple[str, str]:
        """Give the ETag, which is an MD5 unless the file was uploaded in parts, or encrypted with a key of the user's."""
        etag = str(info["ETag"]).strip('"')
        return etag, etag if re.fullmatch("[0-9a-f]{32}", etag) else ""

    def tells_md5(self, path: str) -> bool:
        """Ask whether the file is encrypted with a key of the user's."""
        bucket, _, key = path.partition("/")
        head = self.call(lambda files: files.call_s3("head_object", Bucket=bucket, Key=key))
        return not (head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head)


def _parse(url: str) -> tuple[str | None, str]:
    """Take a URL apart into the endpoint, None for Amazon's own, and bucket and path."""
    protocol, separator, rest = url.removeprefix("s3://").rpartition("://")
    place = f"{protocol}{separator}{re.sub('/+', '/', rest).strip('/')}"
    elsewhere = _ELSEWHERE.fullmatch(place)
    if elsewhere and (elsewhere["protocol"] or ":" in elsewhere["host"]):
        return f"{elsewhere['protocol'] or 'http://'}{elsewhere['host']}", elsewhere["root"]
    if not place or separator or ":" in place.partition("/")[0]:
        raise RepositoryError(
            f'"{url}" names no bucket: expected s3://bucket/path, s3://host:port/bucket/path or '
            "s3://https://host:port/bucket/path"
        )
    return None, place

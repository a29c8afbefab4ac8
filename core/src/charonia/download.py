"""Bringing one remote file: in pieces, and from where an earlier attempt ended."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from charonia.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RemoteFile", "download"]

_PIECE_BYTES = 8 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file as its store lists it.

    Attributes:
        path: its path in the store.
        size: its size in bytes.
        state: what the store says of the state of its content, such as an etag: other text after a change.
        md5: the hash of its content in hexadecimal, or "" where the store does not tell it.
    """

    path: str
    size: int
    state: str
    md5: str = ""

    @property
    def cache_name(self) -> str:
        """A name for its content: that of all files of the same content, where the store tells a hash."""
        content = f"md5:{self.md5}" if self.md5 else f"{self.path}\0{self.state}"
        return f"{hashlib.sha256(content.encode()).hexdigest()}.{self.size}"


def download(
    file: RemoteFile, read: Callable[[int, int], bytes], target: IO[bytes], tell: Callable[[int], None]
) -> str:
    """Append to a local file what it lacks of a remote one, and give the MD5 of the whole in hexadecimal.

    Args:
        file: the remote file.
        read: gives the bytes from one position up to another, or fewer.
        target: opened for appending; its end is where an earlier attempt ended. Emptied if it does not fit.
        tell: told how many bytes there are more.

    Raises:
        RepositoryError: the file is not what its store says.
        Exception: what `read` raised; a later call goes on from there.
    """
    digest = hashlib.md5(usedforsecurity=False)
    have = _take_over(file, target, digest.update)
    tell(have)
    while have < file.size:
        end = min(have + _PIECE_BYTES, file.size)
        piece = read(have, end)
        if not 0 < len(piece) <= end - have:
            target.truncate(0)
            raise RepositoryError(
                f'"{file.path}" has {file.size} bytes, as its store tells, but {len(piece)} bytes came for those from {have} to '
                f"{end}: upload it anew"
            )
        target.write(piece)
        digest.update(piece)
        have += len(piece)
        tell(len(piece))
    return digest.hexdigest()


def _take_over(file: RemoteFile, target: IO[bytes], take: Callable[[bytes], None]) -> int:
    """Go through what is here already, and give its length."""
    length = target.seek(0, os.SEEK_END)
    if length > file.size:
        target.truncate(0)
        return 0
    with open(target.name, "rb") as earlier:  # noqa: PTH123 - a file's name may be a number, and this takes both
        while piece := earlier.read(_PIECE_BYTES):
            take(piece)
    return length

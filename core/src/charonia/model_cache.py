"""Copies of remote models on this machine: bounded, shared by all processes that name one directory, and kept between starts.

    <directory>/lock            held while anybody looks at, or changes, what is here
    <directory>/blobs/NAME      whole files, verified; NAME is <hash of what identifies the content>.<size>
    <directory>/partial/NAME    what has come so far of a file; locked by whoever brings it
    <directory>/leases/ID       names of the files that a model in use needs; locked as long as the model is in use
    <directory>/models/ID/…     that model's directory, of links to blobs

The kernel lets go of locks when a process ends, however it ends: what a killed process left is found by that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from charonia.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["CachedFile", "Lease", "ModelCache"]

_READ_ONLY = 0o444


@dataclass(frozen=True)
class CachedFile:
    """A file that a model needs.

    Attributes:
        path: where it lies in the model's directory.
        name: its name in the cache; see the module's description.
    """

    path: str
    name: str

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return _size(self.name)


class Lease:
    """A model's files that are in use, from `ModelCache.lease` to `close`. Nobody removes them meanwhile.

    Attributes:
        directory: the model's directory.
    """

    def __init__(self, directory: Path, lock: IO[bytes]) -> None:
        self.directory = directory
        self._lock = lock

    def close(self) -> None:
        """Remove the model's directory, and let others have its place. Idempotent."""
        if not self._lock.closed:
            shutil.rmtree(self.directory, ignore_errors=True)
            Path(self._lock.name).unlink(missing_ok=True)
            self._lock.close()


class ModelCache:
    """The copies in one directory. Its methods may be called from any thread, and by several processes.

    Args:
        directory: where the copies lie; made at the first use.
        max_bytes: how much all files may take together; 0 is what the disk has.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._blobs, self._partial, self._leases, self._models = (
            directory / name for name in ("blobs", "partial", "leases", "models")
        )

    def lease(self, model: str, files: Sequence[CachedFile], folders: Sequence[str]) -> Lease:
        """Make a model's directory, with its folders and no files yet, and see that there is room for these.

        Raises:
            RepositoryError: there is not enough room, or the cache cannot be written.
        """
        identifier = uuid.uuid4().hex
        with _told(self._directory), self._locked():
            self._forget_the_dead()
            self._make_room(model, {file.name for file in files})
            lock = (self._leases / identifier).open("xb")
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write("\n".join(file.name for file in files).encode())
            lock.flush()
            lease = Lease(self._models / identifier, lock)
            for folder in {"", *folders, *(str(Path(file.path).parent) for file in files)}:
                (lease.directory / folder).mkdir(parents=True, exist_ok=True)
        return lease

    def place(self, lease: Lease, file: CachedFile, bring: Callable[[IO[bytes]], None]) -> bool:
        """Put a file into a model's directory, and bring it first if it is not here yet.

        Args:
            lease: the model.
            file: one of those that the lease was made with.
            bring: called where the file is not here, with a file that has what came before and is to be appended to;
                it must raise if what is there in the end is not what it should be.

        Returns:
            Whether it had to be brought.

        Raises:
            RepositoryError: the cache cannot be written.
            Exception: what `bring` raised.
        """
        target = lease.directory / file.path
        with _told(self._directory):
            while not self._link(file.name, target):
                with (self._partial / file.name).open("ab") as partial:
                    fcntl.flock(partial, fcntl.LOCK_EX)  # waits for whoever brings the same file
                    if not _is_at(partial, self._partial / file.name):
                        continue  # brought by another one, or thrown away, while we waited
                    bring(partial)
                    self._publish(partial, file.name)
                    os.link(self._blobs / file.name, target)
                    return True
        return False

    def _link(self, name: str, target: Path) -> bool:
        try:
            os.link(self._blobs / name, target)
        except FileNotFoundError:
            return False
        with suppress(OSError):
            os.utime(target)  # the latest use, for who makes room; a link shares its file's time
        return True

    def _publish(self, partial: IO[bytes], name: str) -> None:
        partial.flush()
        os.fsync(partial.fileno())
        os.fchmod(partial.fileno(), _READ_ONLY)
        (self._partial / name).rename(self._blobs / name)

    # -- what needs the cache's lock

    @contextmanager
    def _locked(self) -> Iterator[None]:
        for folder in (self._blobs, self._partial, self._leases, self._models):
            folder.mkdir(parents=True, exist_ok=True)
        with (self._directory / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _forget_the_dead(self) -> None:
        """Remove the leases of processes that are gone."""
        for path in self._leases.iterdir():
            with suppress(OSError), path.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(self._models / path.name, ignore_errors=True)
                path.unlink(missing_ok=True)

    def _make_room(self, model: str, wanted: set[str]) -> None:
        kept = wanted.union(*map(_names, self._leases.iterdir()))
        here = {path.name: path for folder in (self._partial, self._blobs) for path in folder.iterdir()}
        statuses = {}
        for name, path in here.items():
            with suppress(FileNotFoundError):  # complete by now, and moved, or removed by somebody else
                statuses[name] = path.stat()
        room = sum(status.st_size for status in statuses.values()) + shutil.disk_usage(self._directory).free
        limit = min(self._max_bytes or room, room)
        used = sum(map(_size, kept | set(here)))
        for name in sorted(set(statuses) - kept, key=lambda name: statuses[name].st_mtime_ns):
            if used <= limit:
                break
            used -= _size(name)
            here[name].unlink()
        if used > limit:
            needed, others = sum(map(_size, wanted)), sum(map(_size, kept - wanted))
            raise RepositoryError(
                f'model "{model}" has {needed} bytes of files, and the cache "{self._directory}" has room for {limit}, of '
                f"which {others} are in use by other models: let it have more bytes, or free space on its disk"
            )


def _size(name: str) -> int:
    return int(name.rpartition(".")[2])


def _names(lease: Path) -> list[str]:
    try:
        return lease.read_text().split()
    except FileNotFoundError:  # closed meanwhile
        return []


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Tell whether an open file is still the one of that path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _told(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RepositoryError(
            f'the cache of remote models "{directory}" cannot be written: {error.strerror or error}; free space there, or choose '
            "another place with --model-cache-directory"
        ) from error

"""Repositories in object stores: what all of them have in common, over any asynchronous file system of fsspec.

Only what is needed is brought, several files at once, into a cache on this machine. A failure is tried again; whatever is
loaded is loaded from files that are here, so that a lost network harms no model that serves.
"""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeVar

from charonia.download import RemoteFile, download
from charonia.errors import RepositoryError
from charonia.model_cache import CachedFile, ModelCache
from charonia.repository import (
    Entry,
    Listing,
    RepositoryStorage,
    StorageOptions,
    check_inside,
    is_version,
    nothing_told,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from charonia.model_cache import Lease
    from charonia.repository import Progress

__all__ = ["RemoteStorage"]

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_DOWNLOADS = 8
"""How many files are brought at once."""


@dataclass
class _Use:
    """A lease, and how often it was given."""

    lease: Lease
    key: tuple[object, ...]
    count: int = 1


class RemoteStorage(RepositoryStorage):
    """A repository in an object store. A subclass says how to reach it, and how it tells contents apart.

    Args:
        url: the repository's URL.
        options: where copies lie, and the environment variables.

    Attributes:
        root: the repository's path in the file system, such as "bucket/models"; set by the subclass.
    """

    cache_variable: ClassVar[str] = ""
    """The reference's environment variable that names a place for copies, or ""."""

    stall_seconds: ClassVar[float] = 60.0
    """How long one call may take, which lists or brings a piece of a file."""

    pauses_seconds: ClassVar[Sequence[float]] = (0.2, 1.0, 3.0)
    """How long to wait before the second and each later attempt of a call."""

    root: str

    def __init__(self, url: str, options: StorageOptions | None = None) -> None:
        super().__init__(url, options)
        place = self.options.environment.get(self.cache_variable) or self.options.cache_directory
        self._cache = ModelCache(Path(place).expanduser().absolute(), self.options.cache_byte_size)
        self._closed = threading.Event()
        self._lock = threading.Lock()  # guards all below
        self._file_system: AbstractFileSystem | None = None
        self._uses: list[_Use] = []
        self._pool: ThreadPoolExecutor | None = None

    @abstractmethod
    def open_file_system(self) -> AbstractFileSystem:
        """Make a file system, with credentials looked up anew, no cache of listings, and time-outs.

        Raises:
            RepositoryError: the credentials are wrong.
        """

    @abstractmethod
    def describe(self, info: Mapping[str, Any]) -> tuple[str, str]:
        """Give the state and the MD5 of a file from what the file system tells of it; see `RemoteFile`."""

    def denies(self, error: Exception) -> bool:
        """Tell whether an error of the file system means that the store denies access."""
        return isinstance(error, PermissionError)

    def tells_md5(self, path: str) -> bool:
        """Tell whether what `describe` gave as a file's MD5 really is one; asked where it turned out different."""
        return True

    # -- what a storage does

    def model_names(self) -> list[str]:
        """List what has something below it."""
        found = [entry.name for entry in self._list(self.root) if entry.is_directory]
        if not found and not self.call(lambda files: files.exists(self.root, timeout=self.stall_seconds)):
            raise self._missing(self.root)
        return found

    def entries(self, model: str, folder: str = "") -> list[Entry]:
        """List a directory of the model."""
        return self._list(self._path(model, folder))

    def read(self, model: str, path: str) -> bytes:
        """Read a file of the model."""
        place = self._path(model, path)
        content = self.call(lambda files: files.cat_file(place, timeout=self.stall_seconds))
        if not isinstance(content, bytes):
            raise RepositoryError(f'"{place}" cannot be read: it is no file')
        return content

    def localize(self, model: str, versions: Sequence[int], progress: Progress = nothing_told) -> Path:
        """Bring the model's files into the cache, those that are not there yet."""
        remote, folders = self._selected(model, versions)
        key = (model, tuple(remote.items()), tuple(folders))
        with self._lock:
            for use in self._uses:
                if use.key == key:
                    use.count += 1
                    return use.lease.directory
        files = [CachedFile(path, file.cache_name) for path, file in remote.items()]
        lease = self._cache.lease(model, files, folders)
        try:
            self._bring_all(lease, [(file, remote[file.path]) for file in files], progress)
        except BaseException:
            lease.close()
            raise
        with self._lock:
            self._uses.append(_Use(lease, key))
        return lease.directory

    def file_states(self, model: str) -> Mapping[str, str]:
        """Give the size of each file, and the store's own word for its state."""
        files, _ = self._find(self._path(model, ""))
        return _states(files)

    def look(self, model: str) -> Listing | None:
        """Find everything at once."""
        files, folders = self._find(self._path(model, ""))
        if not files and not folders:
            return None
        return Listing(_states(files), partial(_entries, files, folders))

    def release(self, directory: Path) -> None:
        """Remove the directory when it was released as often as it was given; the files stay in the cache."""
        with self._lock:
            for use in self._uses:
                if use.lease.directory == directory:
                    use.count -= 1
                    if not use.count:
                        self._uses.remove(use)
                        use.lease.close()
                    return

    def close(self) -> None:
        """Give up what is under way, and every directory."""
        self._closed.set()
        with self._lock:
            pool, self._pool = self._pool, None
            uses, self._uses = self._uses, []
            self._file_system = None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        for use in uses:
            use.lease.close()

    # -- bringing files

    def _selected(self, model: str, versions: Sequence[int]) -> tuple[dict[str, RemoteFile], list[str]]:
        """Find the files of a model that are needed, by their paths in it, and the folders of its versions."""
        files, folders = self._find(self._path(model, ""))
        if not files and not folders:
            raise RepositoryError(f'model "{model}" has no files in "{self.url}"')
        for version in versions:
            if str(version) not in folders:
                raise RepositoryError(f'model "{model}" has no version directory "{version}" in "{self.url}"')
        wanted = {str(version) for version in versions}

        def is_needed(path: str) -> bool:
            top, separator, _ = path.partition("/")
            return not is_version(top) or not separator or top in wanted

        return {path: file for path, file in sorted(files.items()) if is_needed(path)}, sorted(wanted)

    def _find(self, place: str) -> tuple[dict[str, RemoteFile], set[str]]:
        """Find all files below a place, and its folders, by their paths from there."""
        try:
            found = self.call(lambda files: files.find(place, withdirs=True, detail=True, timeout=self.stall_seconds))
        except _NotThereError:
            return {}, set()
        files: dict[str, RemoteFile] = {}
        folders: set[str] = set()
        for name, info in found.items():
            path = _below(name, place)
            if not path or path.partition("/")[0] == "__pycache__":
                continue
            if info["type"] == "directory" or name.endswith("/"):
                folders.add(path)
            else:
                folders.update(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")
                files[path] = self._remote_file(name, info)
        for path in files:
            check_inside("model", path)
        return files, folders

    def _remote_file(self, name: str, info: Mapping[str, Any]) -> RemoteFile:
        return RemoteFile(name, int(info["size"]), *self.describe(info))

    def _bring_all(self, lease: Lease, files: Sequence[tuple[CachedFile, RemoteFile]], progress: Progress) -> None:
        total = sum(remote.size for _, remote in files)
        done = 0
        counting = threading.Lock()  # guards `done`

        def tell(count: int) -> None:
            nonlocal done
            with counting:
                done += count
                progress(done, total)

        with self._lock:
            if self._closed.is_set():
                raise RepositoryError(f'"{self.url}" is closed')
            self._pool = self._pool or ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="charonia-download")
            futures = [self._pool.submit(self._bring, lease, file, remote, tell) for file, remote in files]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
            for future in futures:
                if not future.cancelled():
                    future.exception()  # nobody writes into the directory any more when it goes

    def _bring(self, lease: Lease, file: CachedFile, remote: RemoteFile, tell: Callable[[int], None]) -> None:
        def bring(target: IO[bytes]) -> None:
            digest = download(remote, partial(self._read_range, remote.path), target, tell)
            problem = self._problem(remote, digest)
            if problem:
                target.truncate(0)
                raise RepositoryError(f'"{remote.path}" {problem}')

        if not self._cache.place(lease, file, bring):
            tell(remote.size)

    def _problem(self, remote: RemoteFile, digest: str) -> str:
        """Tell what is wrong with a file that was brought; "" if nothing is."""
        if remote.md5:
            if digest == remote.md5 or not self.tells_md5(remote.path):
                return ""
            return f"came with the MD5 {digest}, and its store tells {remote.md5}: upload it anew"
        now = self._remote_file(remote.path, self._info(remote.path))
        return "" if now == remote else "was changed while it was read: load the model again"

    def _read_range(self, path: str, start: int, end: int) -> bytes:
        content: bytes = self.call(lambda files: files.cat_file(path, start=start, end=end, timeout=self.stall_seconds))
        return content

    def _info(self, path: str) -> Mapping[str, Any]:
        info: Mapping[str, Any] = self.call(lambda files: files.info(path, timeout=self.stall_seconds))
        return info

    # -- calls over the network

    def _list(self, place: str) -> list[Entry]:
        found = self.call(lambda files: files.ls(place, detail=True, timeout=self.stall_seconds))
        entries = {}
        for info in found:
            name = _below(info["name"], place)
            if name:
                is_directory = info["type"] == "directory" or info["name"].endswith("/")
                entries[name] = Entry(name, is_directory)
        if not entries and found and not found[0]["name"].endswith("/") and found[0]["type"] != "directory":
            raise RepositoryError(f'"{place}" cannot be listed: it is a file')
        return [entry for _, entry in sorted(entries.items())]

    def _path(self, model: str, path: str) -> str:
        check_inside(model, path)
        return "/".join(part for part in (self.root, model, path) if part)

    def call(self, call: Callable[[AbstractFileSystem], _Result]) -> _Result:
        """Ask the store, again after a pause if that fails, with a new connection and credentials looked up anew.

        Raises:
            RepositoryError: it fails each time, refuses twice, or says that there is no such thing.
        """
        problem: Exception | None = None
        for pause in (0.0, *self.pauses_seconds):
            if self._closed.wait(pause):
                raise RepositoryError(f'"{self.url}" is closed') from problem
            files = self._connected()
            try:
                return call(files)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise _NotThereError(f'"{self.url}" has no such thing: {error}') from error
            except Exception as error:  # noqa: BLE001 - the border to the store's client, which has errors of its own
                _log.debug('"%s" failed', self.url, exc_info=error)
                self._disconnect(files)
                denied_again = self.denies(error) and problem is not None and self.denies(problem)
                problem = error
                if denied_again:
                    break
        denied = problem is not None and self.denies(problem)
        what = "denies access: check the credentials" if denied else "cannot be read"
        raise RepositoryError(f'"{self.url}" {what}: {type(problem).__name__}: {problem}') from problem

    def _connected(self) -> AbstractFileSystem:
        with self._lock:
            if self._file_system is None:
                self._file_system = self.open_file_system()
            return self._file_system

    def _disconnect(self, files: AbstractFileSystem) -> None:
        with self._lock:
            if self._file_system is files:
                self._file_system = None

    def _missing(self, place: str) -> RepositoryError:
        return RepositoryError(f'model repository "{self.url}" is not there: "{place}" has nothing below it')


class _NotThereError(RepositoryError):
    """What was asked for is not in the store."""


def _states(files: Mapping[str, RemoteFile]) -> dict[str, str]:
    return {path: f"{file.state} {file.size}" for path, file in files.items()}


def _entries(files: Iterable[str], folders: Iterable[str], folder: str) -> list[Entry]:
    """List what is directly in a folder, of files and folders by their whole paths."""
    start = f"{folder}/" if folder else ""
    found = [Entry(path.removeprefix(start), is_directory=False) for path in files if path.startswith(start)]
    found += [Entry(path.removeprefix(start), is_directory=True) for path in folders if path.startswith(start)]
    return sorted((entry for entry in found if "/" not in entry.name), key=lambda entry: entry.name)


def _below(name: str, place: str) -> str:
    """Give a name's path from a place on; "" where it is the place itself."""
    return name.strip("/").removeprefix(place.strip("/")).strip("/")

"""Model repositories: the storage they lie in, and the layout that all storages share.

<repository>/<model>/config.pbtxt          or config.yaml, or nothing where the backend can tell
<repository>/<model>/labels.txt, …         what the configuration names
<repository>/<model>/<version>/…           the model's files; a version is a directory of digits without leading zeros
"""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from charonia.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "CONFIG_FILES",
    "CONFIG_FOLDER",
    "Entry",
    "Listing",
    "LocalStorage",
    "Progress",
    "RepositoryStorage",
    "StorageOptions",
    "check_inside",
    "is_version",
    "model_versions",
    "nothing_told",
]

_log = logging.getLogger(__name__)

CONFIG_FILES = ("config.pbtxt", "config.yaml", "config.yml")
"""The names of a model's configuration file; the first that exists is read."""

CONFIG_FOLDER = "configs"
"""The folder of configurations that a server may be told to take instead."""

_NOT_VERSIONS = {"warmup", "initial_state", CONFIG_FOLDER}


@dataclass(frozen=True)
class Entry:
    """One thing in a model's directory."""

    name: str
    is_directory: bool


@dataclass(frozen=True)
class Listing:
    """What a model's directory has.

    Attributes:
        states: the state of each of its files before anything else was looked at; see `RepositoryStorage.file_states`.
        entries: lists what lies directly in it, for "", or in a folder below it, sorted by name.
    """

    states: Mapping[str, str]
    entries: Callable[[str], Sequence[Entry]]


def _default_cache() -> str:
    return str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "charonia" / "models")


@dataclass(frozen=True)
class StorageOptions:
    """What the server's settings say to storages.

    Attributes:
        cache_directory: where copies of remote models lie, in this machine's file system.
        cache_byte_size: how many bytes these may take; 0 is what the disk has.
        environment: the environment variables, where credentials may stand.
    """

    cache_directory: str = field(default_factory=_default_cache)
    cache_byte_size: int = 0
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


class Progress(Protocol):
    """Is told how many bytes of a model are here, and how many there are in all. Called from any thread, and often."""

    def __call__(self, done: int, total: int, /) -> None:
        """Take note."""


def nothing_told(_: int, __: int, /) -> None:
    """Take no note of progress."""


class RepositoryStorage(ABC):
    """Where a model repository lies. One object per repository; its methods may be called from several threads at once.

    Paths inside a model are relative, with forward slashes, and never leave the model's directory.

    Args:
        url: the repository's location as the user gave it.
        options: the settings for storages; the defaults if not given.
    """

    def __init__(self, url: str, options: StorageOptions | None = None) -> None:
        self.url = url
        self.options = StorageOptions() if options is None else options

    @abstractmethod
    def model_names(self) -> list[str]:
        """List the models, sorted: every directory directly below the repository.

        Raises:
            RepositoryError: the repository is not there or cannot be read.
        """

    @abstractmethod
    def entries(self, model: str, folder: str = "") -> list[Entry]:
        """List what lies directly in the model's directory, or in a folder below it, sorted by name.

        Raises:
            RepositoryError: there is no such model or folder.
        """

    @abstractmethod
    def read(self, model: str, path: str) -> bytes:
        """Give the bytes of one small file of the model, such as its configuration.

        Raises:
            RepositoryError: there is no such file.
        """

    @abstractmethod
    def localize(self, model: str, versions: Sequence[int], progress: Progress = nothing_told) -> Path:
        """Make the model's files available on this machine: all of them, save the version directories not in `versions`.

        Gives the model's directory. It stays valid until `release` of the same path, or `close`. Nobody writes into it.
        `progress` is told how it gets on, where that takes time.

        Raises:
            RepositoryError: the files cannot be had.
        """

    def file_states(self, model: str) -> Mapping[str, str]:
        """Tell the state of each of the model's files by its path: any text, and another one after a change.

        Gives nothing where there is no such model, and always where the storage cannot tell. `__pycache__` does not count. An
        empty directory may count as a file whose path ends in a slash.

        Raises:
            RepositoryError: the repository cannot be read now.
        """
        return {}

    def look(self, model: str) -> Listing | None:
        """Look at all that a model has; None where there is no such model.

        Override it where one question to the storage answers more than one of the others.

        Raises:
            RepositoryError: the repository cannot be read now.
        """
        if model not in self.model_names():
            return None
        return Listing(self.file_states(model), partial(self.entries, model))

    def watch(self, changed: Callable[[], None]) -> Callable[[], object]:
        """Call `changed()`, on any thread, soon after something in the repository has changed; gives what ends that.

        A storage that cannot tell (the default) never calls: then a change is found when somebody looks.
        """
        del changed
        return bool

    def release(self, directory: Path) -> None:
        """Take back what `localize` gave. Nothing to do where the files lie here anyway."""

    def close(self) -> None:
        """Let go of connections and temporary files. Idempotent."""


class LocalStorage(RepositoryStorage):
    """A repository in the local file system, or one that is mounted there (NFS)."""

    def __init__(self, url: str, options: StorageOptions | None = None) -> None:
        super().__init__(url, options)
        path = unquote(url.removeprefix("file://")) if url.startswith("file://") else url
        self._root = Path(path).expanduser().absolute()

    def model_names(self) -> list[str]:
        """List the directories of the repository; plain files at its top are ignored."""
        try:
            return sorted(item.name for item in self._root.iterdir() if item.is_dir())
        except OSError as error:
            raise RepositoryError(
                f'model repository "{self.url}" is not a readable directory: {error.strerror}; '
                f"give the path of a directory that has one directory for each model"
            ) from error

    def entries(self, model: str, folder: str = "") -> list[Entry]:
        """List a directory of the model."""
        directory = self._inside(model, folder)
        try:
            found = [Entry(item.name, item.is_dir()) for item in directory.iterdir()]
        except OSError as error:
            raise RepositoryError(f'"{directory}" cannot be listed: {error.strerror}') from error
        return sorted(found, key=lambda entry: entry.name)

    def read(self, model: str, path: str) -> bytes:
        """Read a file of the model."""
        file = self._inside(model, path)
        try:
            return file.read_bytes()
        except OSError as error:
            raise RepositoryError(f'"{file}" cannot be read: {error.strerror}') from error

    def localize(self, model: str, versions: Sequence[int], progress: Progress = nothing_told) -> Path:
        """Give the model's own directory: everything is here already."""
        directory = self._inside(model, "")
        if not directory.is_dir():
            raise RepositoryError(f'model "{model}" has no directory "{directory}"')
        for version in versions:
            if not (directory / str(version)).is_dir():
                raise RepositoryError(f'model "{model}" has no version directory "{directory / str(version)}"')
        return directory

    def file_states(self, model: str) -> Mapping[str, str]:
        """Give the size and the time of change of each file, and of each directory that has nothing in it."""
        root = self._inside(model, "")
        found: dict[str, str] = {}
        for folder, folders, files in os.walk(root):  # links to directories count by the directory's own time of change
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for path in (Path(folder, name) for name in sorted(files + links)):
                with suppress(OSError):  # it went meanwhile, or is a link to nowhere: then it is not there
                    status = path.stat()
                    found[path.relative_to(root).as_posix()] = f"{status.st_mtime_ns} {status.st_size}"
            if not files and not folders:
                found[f"{Path(folder).relative_to(root).as_posix()}/"] = ""
        return found

    def watch(self, changed: Callable[[], None]) -> Callable[[], object]:
        """Have the operating system tell of changes, where the package watchdog is installed and the system can."""
        try:
            from charonia.local_changes import LocalChanges

            changes = LocalChanges(self._root, changed)
        except (ImportError, OSError) as error:
            _log.info('changes in "%s" are found by polling alone: %s', self.url, error)
            return super().watch(changed)
        return changes.close

    def _inside(self, model: str, path: str) -> Path:
        check_inside(model, path)
        return self._root / model / path


def check_inside(model: str, path: str) -> None:
    """Refuse a name that is not that of one directory, and a path that leads out of it.

    Raises:
        RepositoryError: it is one of these.
    """
    if not model or "/" in model or "\\" in model or "\0" in model or model in {".", ".."}:
        raise RepositoryError(f"{model!r} is no name of a model: it must be the name of one directory")
    if "\0" in path or ".." in Path(path).parts or Path(path).is_absolute():
        raise RepositoryError(f'{path!r} leaves the directory of model "{model}"')


def is_version(name: str) -> bool:
    """Tell whether a directory of this name is a version: ASCII digits without leading zeros."""
    return re.fullmatch(r"0|[1-9][0-9]*", name) is not None


def model_versions(entries: Sequence[Entry], model: str) -> list[int]:
    """Find a model's versions among the entries of its directory, ascending.

    A version is a directory of digits without leading zeros; `0` is one. As in the reference, other directories are passed
    over with a warning.
    """
    versions: list[int] = []
    for entry in entries:
        if not entry.is_directory or entry.name in _NOT_VERSIONS:
            continue
        if is_version(entry.name):
            versions.append(int(entry.name))
        elif re.fullmatch(r"0[0-9]+", entry.name):
            _log.warning('model "%s": ignoring version directory "%s": leading zeros', model, entry.name)
        elif entry.name != "__pycache__":
            _log.warning('model "%s": ignoring directory "%s": its name is no version number', model, entry.name)
    return sorted(versions)

"""All model repositories of a server: which models there are, and what is written about each.

Reading finds a model's configuration, its versions and everything that is wrong with the text; nothing is loaded yet.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.completion import complete_framework
from charonia.config import ParsedConfig, parse_config, selected_versions
from charonia.errors import RepositoryError, describe_cause
from charonia.load_teller import LoadTeller, Phase
from charonia.model_names import ModelNames
from charonia.overrides import Override
from charonia.repository import (
    CONFIG_FILES,
    CONFIG_FOLDER,
    Listing,
    RepositoryStorage,
    StorageOptions,
    model_versions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.options import ServerOptions
    from charonia.overrides import LoadParameters
    from charonia.plugins import Plugins

__all__ = ["Candidate", "ModelRepositories"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A model as it lies in its repository, read and found to be plausible.

    Attributes:
        key: what the server keeps it under; see `charonia.model_names`.
        name: the model's name.
        storage: where it lies.
        parsed: its configuration as written, with backend and platform filled in.
        available: its versions, ascending.
        versions: those that the version policy selects, likewise.
        files: the state of each of its files before anything was read; see `RepositoryStorage.file_states`.
        overridden: whether something else than what is stored was read.
        namespace: where the models that it uses are looked for first; "" where models are told apart by their names alone.
        homes: the namespace of each model that it uses, by name.
    """

    key: str
    name: str
    storage: RepositoryStorage
    parsed: ParsedConfig
    available: Sequence[int]
    versions: Sequence[int]
    files: Mapping[str, str]
    overridden: bool
    namespace: str = ""
    homes: Mapping[str, str] = field(default_factory=dict)

    @property
    def asker(self) -> str:
        """What it is called where it needs something that is not there."""
        return f'model "{self.name}" ({self.parsed.file or "without a configuration file"})'

    def key_of_used(self, name: str) -> str:
        """Give the key of a model that this one uses."""
        return ModelNames.key(name, self.homes.get(name, self.namespace))


class ModelRepositories:
    """The repositories of a server. Owns their storages, which `close` closes. Any thread may call.

    A key is that of a model; see `charonia.model_names`.

    Args:
        urls: where they lie.
        options: the server's settings.
        plugins: where storages come from.

    Attributes:
        storages: one for each repository.
        model_names: how models are told apart.
    """

    def __init__(self, urls: Sequence[str], options: ServerOptions, plugins: Plugins) -> None:
        self._options = options
        self._plugins = plugins
        self._seen: dict[RepositoryStorage, list[str]] = {}  # what each storage told last, replaced as a whole
        self._files: dict[RepositoryStorage, Mapping[str, Mapping[str, str]]] = {}  # likewise, of the files
        self.storages = [self._storage(url) for url in urls]
        self.model_names = ModelNames([it.url for it in self.storages] if options.model_namespacing else ())

    def _storage(self, url: str) -> RepositoryStorage:
        scheme, separator, _ = url.partition("://")
        asker = f'the model repository "{url}"'
        settings = StorageOptions(
            cache_directory=self._options.model_cache_directory or StorageOptions().cache_directory,
            cache_byte_size=self._options.model_cache_byte_size,
        )
        return self._plugins.storage(scheme if separator else "file", asker=asker)(url, settings)

    def keys(self) -> list[str]:
        """List the models of all repositories, sorted.

        Raises:
            RepositoryError: a repository cannot be read.
        """
        return sorted({self.key(storage, name) for storage in self.storages for name in self._names_in(storage)})

    def keys_of(self, name: str) -> list[str]:
        """List the models of a name, in repositories as they were when they could be read. Without namespaces, there is one."""
        if not self.model_names.namespaces:
            return [name]
        return [self.key(storage, name) for storage in self.storages if name in self._last_names_in(storage)]

    def key(self, storage: RepositoryStorage, name: str) -> str:
        """Give the key of a model that lies in one of the storages."""
        return self.model_names.key(name, storage.url) if self.model_names.namespaces else name

    def _last_names_in(self, storage: RepositoryStorage) -> Sequence[str]:
        try:
            return self._names_in(storage)
        except RepositoryError as error:
            _log.warning("%s", error)
            return self._seen.get(storage, ())

    def _names_in(self, storage: RepositoryStorage) -> list[str]:
        self._seen[storage] = names = storage.model_names()
        return names

    def survey(self) -> dict[str, str]:
        """Tell the models of all repositories; those that were seen last where one cannot be read now, each with the reason."""
        found: dict[str, str] = {}
        for storage in self.storages:
            problem = ""
            try:
                names = self._names_in(storage)
            except RepositoryError as error:
                names, problem = self._seen.get(storage, []), describe_cause(error)
            found.update(dict.fromkeys([self.key(storage, name) for name in names], problem))
        return found

    def survey_files(self) -> dict[str, Mapping[str, str]]:
        """Tell the states of the files of all models; those that were seen last where they cannot be read now."""
        found: dict[str, dict[str, str]] = {}
        for place, storage in enumerate(self.storages):
            before = self._files.get(storage, {})
            try:
                self._files[storage] = {name: self._files_of(storage, name, before) for name in self._names_in(storage)}
            except RepositoryError as error:
                _log.warning("%s", error)
            for name, states in self._files.get(storage, {}).items():
                files = found.setdefault(self.key(storage, name), {})
                files.update({f"{place}/{path}": state for path, state in states.items()})
        return {**found}

    def _files_of(
        self, storage: RepositoryStorage, name: str, before: Mapping[str, Mapping[str, str]]
    ) -> Mapping[str, str]:
        try:
            return storage.file_states(name)
        except RepositoryError as error:
            _log.warning('model "%s" cannot be looked at: %s', name, error)
            return before.get(name, {})

    def file_states(self, key: str) -> Mapping[str, str]:
        """Tell the state of each of a model's files, by repository and path; see `RepositoryStorage.file_states`.

        Raises:
            RepositoryError: a repository cannot be read now.
        """
        name, namespace = self.model_names.split(key)
        return {
            f"{place}/{path}": state
            for place, storage in enumerate(self.storages)
            if namespace in {"", storage.url}
            for path, state in storage.file_states(name).items()
        }

    def override(self, key: str, parameters: LoadParameters) -> Override:
        """Read what comes with the load of a model. The caller closes it.

        Raises:
            RepositoryError: files came without a configuration, or a repository cannot be read.
            ConfigError: the configuration is wrong.
        """
        return Override(self.model_names.name(key), parameters, self.file_states(key))

    def in_force(self, key: str, override: Override | None) -> Override | None:
        """Give the override that a load without parameters goes on with, or None.

        As in the reference, a configuration holds until the model's files in the repositories change, and files not at all.
        """
        if override is None or override.storage is not None:
            return None
        return override if override.stored == self.file_states(key) else None

    def read(self, key: str, tell: LoadTeller, override: Override | None = None) -> Candidate:
        """Read a model's configuration and find its versions, in the repositories or in what stands in for them.

        Raises:
            RepositoryError: no repository has the model, or several do, or it cannot be read.
            ConfigError: the configuration is wrong.
        """
        tell(Phase.READING)
        name, namespace = self.model_names.split(key)
        brought = override.storage if override else None
        storage, listing = self._home_of(name, [brought] if brought else self._storages_of(namespace))
        entries = listing.entries("")
        files = {entry.name for entry in entries if not entry.is_directory}
        parsed = override.parsed if override else self._parse(storage, name, listing, files)
        available = model_versions(entries, name)
        first = min(map(str, available), default=None)
        inside = [entry.name for entry in listing.entries(first)] if first is not None else None
        parsed = complete_framework(parsed, inside, name)
        versions = selected_versions(parsed.config.version_policy, available, model=name)
        overridden = override is not None
        return Candidate(
            key, name, storage, parsed, available, versions, listing.states, overridden=overridden, namespace=namespace
        )

    def _storages_of(self, namespace: str) -> list[RepositoryStorage]:
        return [storage for storage in self.storages if namespace in {"", storage.url}]

    @staticmethod
    def _home_of(name: str, storages: Sequence[RepositoryStorage]) -> tuple[RepositoryStorage, Listing]:
        """Find a model in the one storage that has it."""
        looks = [(storage, storage.look(name)) for storage in storages]
        homes = [(storage, listing) for storage, listing in looks if listing is not None]
        if not homes:
            places = ", ".join(f'"{storage.url}"' for storage in storages)
            raise RepositoryError(f'model "{name}" is not found in any model repository ({places})')
        if len(homes) > 1:
            places = " and ".join(f'"{storage.url}"' for storage, _ in homes)
            raise RepositoryError(
                f'model "{name}" appears in two or more repositories, {places}: rename or remove all but one'
            )
        return homes[0]

    def _parse(self, storage: RepositoryStorage, name: str, listing: Listing, files: set[str]) -> ParsedConfig:
        file = self._config_file(listing, files)
        environment = os.environ if self._options.environment is None else self._options.environment
        if file is not None:
            text = storage.read(name, file).decode("utf-8", errors="replace")
            return parse_config(text, model=name, file=file, environment=environment)
        if self._options.disable_auto_complete_config:
            raise RepositoryError(
                f'model "{name}" has no configuration file ({", ".join(CONFIG_FILES)}), and completion is switched off '
                "by --disable-auto-complete-config"
            )
        return parse_config("", model=name, file="", environment=environment)

    def _config_file(self, listing: Listing, files: set[str]) -> str | None:
        """Find the configuration that the server was told to take, or else the usual one."""
        chosen = self._options.model_config_name
        if chosen and any(entry.name == CONFIG_FOLDER and entry.is_directory for entry in listing.entries("")):
            there = {entry.name for entry in listing.entries(CONFIG_FOLDER) if not entry.is_directory}
            for file in (f"{chosen}{Path(usual).suffix}" for usual in CONFIG_FILES):
                if file in there:
                    return f"{CONFIG_FOLDER}/{file}"
        return next((file for file in CONFIG_FILES if file in files), None)

    def close(self) -> None:
        """Close the storages. All models are closed. Idempotent."""
        for storage in self.storages:
            storage.close()

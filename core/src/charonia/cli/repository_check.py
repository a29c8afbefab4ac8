"""Finding all that is wrong with model repositories, without loading anything or importing any backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.cli.model_check import Finding, ModelCheck
from charonia.cli.stored_models import StoredModels
from charonia.composition import CompositionError
from charonia.errors import CharoniaError, ConfigError, PluginError, RepositoryError
from charonia.model_repositories import ModelRepositories
from charonia.repository import CONFIG_FILES, is_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from charonia.errors import ConfigProblem
    from charonia.model_repositories import Candidate
    from charonia.options import ServerOptions
    from charonia.plugins import Plugins
    from charonia.repository import RepositoryStorage

__all__ = ["RepositoryCheck"]


class RepositoryCheck:
    """Checks repositories as a server would read them.

    Args:
        repositories: where the models lie.
        plugins: what is installed.
        options: the settings of that server; what counts is what is read, and whether it must be whole.

    Attributes:
        findings: all that was found so far, in the order of the models' names.
        model_count: how many models were looked at.
        missing: the kinds and names of what they need and nothing that is installed provides.
    """

    def __init__(self, repositories: Sequence[str], plugins: Plugins, options: ServerOptions) -> None:
        self.findings: list[Finding] = []
        self.model_count = 0
        self.missing: set[tuple[str, str]] = set()
        self._plugins = plugins
        self._auto_complete = not options.disable_auto_complete_config
        self._options = options
        self._repositories = repositories

    def run(self) -> None:
        """Look at everything."""
        readable = [url for url in self._repositories if self._can_be_read(url)]
        repositories = ModelRepositories(readable, self._options, self._plugins)
        try:
            homes: dict[str, list[RepositoryStorage]] = {}
            for storage in repositories.storages:
                names = storage.model_names()
                if not names:
                    self._warn(
                        storage.url, "there is no model here: a model is a directory, with one for each version in it"
                    )
                elif all(map(is_version, names)):
                    self._warn(storage.url, "this looks like one model with its versions: give the directory above it")
                for name in names:
                    homes.setdefault(repositories.key(storage, name), []).append(storage)
            models = StoredModels(repositories, auto_complete=self._auto_complete)
            for key in sorted(homes):
                self.model_count += 1
                self._check_model(models, key, homes[key][0], repositories.model_names.name(key))
        finally:
            repositories.close()

    def _can_be_read(self, url: str) -> bool:
        try:
            probe = ModelRepositories([url], self._options, self._plugins)
            try:
                probe.keys()
            finally:
                probe.close()
        except (PluginError, RepositoryError) as error:
            self.findings.append(Finding(url, "error", str(error)))
            return False
        return True

    def _check_model(self, models: StoredModels, key: str, storage: RepositoryStorage, name: str) -> None:
        place = f"{storage.url.rstrip('/')}/{name}"
        found = models.read(key).found
        if isinstance(found, ConfigError):
            where = f"{place}/{found.file}" if found.file else place
            self.findings += [Finding(where, "error", str(it), it.line) for it in found.problems]
            self._warn_of_look_alikes(storage, name, found.file)
        elif isinstance(found, CharoniaError):
            self.findings.append(Finding(place, "error", str(found)))
        else:
            check = ModelCheck(found, place, self._plugins, auto_complete=self._auto_complete)
            self.findings += check.run(_composition_problems(models, found))
            self.missing |= check.missing
            self._warn_of_look_alikes(storage, name, found.parsed.file)
        for text in models.read(key).warnings:
            self._warn(place, text)

    def _warn_of_look_alikes(self, storage: RepositoryStorage, name: str, file: str) -> None:
        """Tell of files that look as if they were meant for a model's configuration, unless there is a file of it."""
        told = f"this is not read: a configuration is a file beside the versions, called {' or '.join(CONFIG_FILES)}"
        for path in () if file else _look_alikes(storage, name):
            self._warn(f"{storage.url.rstrip('/')}/{name}/{path}", told)

    def _warn(self, place: str, text: str) -> None:
        self.findings.append(Finding(place, "warning", text))


def _composition_problems(models: StoredModels, candidate: Candidate) -> Sequence[ConfigProblem]:
    """List what is wrong with a model that is made of others; other models have nothing of this kind."""
    if candidate.parsed.config.HasField("ensemble_scheduling"):
        try:
            models.compose(candidate)
        except (ConfigError, CompositionError) as error:
            return error.problems
    return ()


def _look_alikes(storage: RepositoryStorage, name: str) -> Iterator[str]:
    """Give the paths of such files in a model's directory."""
    for entry in storage.entries(name):
        if entry.name.startswith("config."):
            yield entry.name
        elif entry.is_directory and is_version(entry.name):
            yield from (
                f"{entry.name}/{file.name}"
                for file in storage.entries(name, entry.name)
                if file.name == CONFIG_FILES[0]
            )

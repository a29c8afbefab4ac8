"""Finding all that is wrong with model repositories, without loading anything or importing any backend."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from charonia.cli.model_check import Finding, ModelCheck
from charonia.errors import CharoniaError, ConfigError, PluginError, RepositoryError
from charonia.load_teller import LoadTeller
from charonia.model_repositories import ModelRepositories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    """

    def __init__(self, repositories: Sequence[str], plugins: Plugins, options: ServerOptions) -> None:
        self.findings: list[Finding] = []
        self.model_count = 0
        self._plugins = plugins
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
                for name in names:
                    homes.setdefault(repositories.key(storage, name), []).append(storage)
            for key in sorted(homes):
                self.model_count += 1
                self._check_model(repositories, key, homes[key])
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

    def _check_model(self, repositories: ModelRepositories, key: str, homes: Sequence[RepositoryStorage]) -> None:
        place = f"{homes[0].url.rstrip('/')}/{repositories.model_names.name(key)}"
        with _warnings() as warnings:
            try:
                candidate = repositories.read(key, LoadTeller(key))
            except ConfigError as error:
                where = f"{place}/{error.file}" if error.file else place
                self.findings += [Finding(where, "error", str(it), it.line) for it in error.problems]
            except CharoniaError as error:
                self.findings.append(Finding(place, "error", str(error)))
            else:
                auto_complete = not self._options.disable_auto_complete_config
                check = ModelCheck(candidate, place, self._plugins, auto_complete=auto_complete)
                self.findings += check.run()
        for text in dict.fromkeys(warnings):
            self._warn(place, text)

    def _warn(self, place: str, text: str) -> None:
        self.findings.append(Finding(place, "warning", text))


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the core warns of meanwhile, such as directories that it passes over."""
    collector = _Collector()
    logger = logging.getLogger("charonia")
    logger.addHandler(collector)
    try:
        yield collector.texts
    finally:
        logger.removeHandler(collector)

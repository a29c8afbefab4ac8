"""The models of repositories as they are written: each is read once, and ensembles are looked at beside their models."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.cli.model_check import is_whole
from charonia.composition import CircleError, compose
from charonia.errors import CharoniaError, ConfigError, InternalError, InvalidArgumentError, NotFoundError
from charonia.load_teller import LoadTeller

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from charonia.config import ModelConfig
    from charonia.model_repositories import Candidate, ModelRepositories

__all__ = ["Reading", "StoredModels"]


@dataclass(frozen=True)
class Reading:
    """What came of reading a model.

    Attributes:
        found: the model, or why it cannot be read.
        warnings: what the core warned of meanwhile, such as directories that it passes over.
    """

    found: Candidate | CharoniaError
    warnings: Sequence[str]


class StoredModels:
    """Reads models, and composes ensembles of what is written about them.

    Args:
        repositories: where they lie.
        auto_complete: whether backends may complete configurations, so that of one that is not whole nothing is known.
    """

    def __init__(self, repositories: ModelRepositories, *, auto_complete: bool) -> None:
        self._repositories = repositories
        self._auto_complete = auto_complete
        self._readings: dict[str, Reading] = {}
        self._composed: dict[str, ModelConfig | CharoniaError] = {}
        self._on_the_way: list[str] = []

    def read(self, key: str) -> Reading:
        """Read a model."""
        if key not in self._readings:
            found: Candidate | CharoniaError
            with _warnings() as warnings:
                try:
                    found = self._repositories.read(key, LoadTeller(key))
                except CharoniaError as error:
                    found = error
            self._readings[key] = Reading(found, list(dict.fromkeys(warnings)))
        return self._readings[key]

    def compose(self, ensemble: Candidate) -> ModelConfig:
        """Give an ensemble's configuration with what follows from its models, as far as it is written.

        Raises:
            ConfigError, CompositionError: as `charonia.composition.compose`.
        """
        if ensemble.key not in self._composed:
            self._on_the_way.append(ensemble.key)
            try:
                self._composed[ensemble.key] = compose(
                    ensemble.parsed, lambda name, version: self._step_model(ensemble, name, version)
                )
            except CharoniaError as error:
                self._composed[ensemble.key] = error
            self._on_the_way.pop()
        outcome = self._composed[ensemble.key]
        if isinstance(outcome, CharoniaError):
            raise outcome
        return outcome

    def _step_model(self, ensemble: Candidate, name: str, version: int | None) -> ModelConfig | None:
        """Find the model of a step; None if more is to be found out about it. Raises what the server would find when it loads."""
        keys = self._repositories.keys_of(name)
        key = self._repositories.model_names.meant(name, ensemble.namespace, keys)
        if key in self._on_the_way:
            raise CircleError(ensemble.key, key)
        found = self.read(key).found
        if isinstance(found, CharoniaError):
            raise InternalError(_told(found)) from found
        if not found.versions:
            raise InvalidArgumentError("at least one version must be available under its version policy")
        if version is not None and version not in found.versions:
            raise NotFoundError(f"there is no version {version}")
        config = found.parsed.config
        if config.HasField("ensemble_scheduling"):
            try:
                return self.compose(found)
            except ConfigError as error:
                raise InternalError(_told(error)) from error
        return config if is_whole(config) or not self._auto_complete else None


def _told(error: CharoniaError) -> str:
    return "see what is wrong with its configuration" if isinstance(error, ConfigError) else str(error)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the core warns of meanwhile."""
    collector = _Collector()
    logger = logging.getLogger("charonia")
    logger.addHandler(collector)
    try:
        yield collector.texts
    finally:
        logger.removeHandler(collector)

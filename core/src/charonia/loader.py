"""From a model's directory to a model that can serve.

Two stages, as in the reference. Reading finds the configuration, the versions and everything that is wrong with the text;
loading asks the backend to complete the configuration, checks it, and makes the model with its instances.
"""

from __future__ import annotations

import enum
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from charonia.backend import InstanceContext, ModelContext
from charonia.backends import Backends
from charonia.clock import Clock
from charonia.completion import adopt_completion, complete_framework
from charonia.composition import compose, inherited_labels
from charonia.config import ParsedConfig, check_loadable, normalise, parse_config, selected_versions
from charonia.errors import ConfigError, RepositoryError
from charonia.instance import ModelInstance, instance_places
from charonia.labels import read_labels
from charonia.limited_scheduler import LimitedScheduler
from charonia.model import Model
from charonia.models import NoModels
from charonia.overrides import Override
from charonia.promptness import Promptness
from charonia.rate_limiter import RateLimiter, demands
from charonia.repository import CONFIG_FILES, RepositoryStorage, model_versions
from charonia.response_lookup import ResponseLookup
from charonia.scheduler import SchedulerContext, scheduler_name
from charonia.statistics import ModelStatistics
from charonia.warmup import warmup_samples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia.backend import Backend, LoadedModel
    from charonia.cache import ResponseCache
    from charonia.config import ModelConfig
    from charonia.errors import CharoniaError
    from charonia.models import Models
    from charonia.options import ServerOptions
    from charonia.overrides import LoadParameters
    from charonia.plugins import Plugins
    from charonia.scheduler import Scheduler

__all__ = ["Candidate", "LoadEvent", "Loader", "Phase"]


class Phase(enum.Enum):
    """What the load of a model is busy with."""

    READING = "reading the configuration"
    LOADING = "loading"
    INSTANTIATING = "making instances"
    WARMING = "warming up"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class LoadEvent:
    """A step in the load of a model.

    Attributes:
        model: the model's name.
        version: the version, or None where the step is about all of them.
        phase: what happens now.
        seconds: since the load began.
        reason: why it failed, as the repository's index words it.
        errors: what it failed with, for who wants to tell more: the place in a file, say.
    """

    model: str
    version: int | None
    phase: Phase
    seconds: float
    reason: str = ""
    errors: Sequence[BaseException] = ()


class Teller(Protocol):
    """Is told each step of a load."""

    def __call__(
        self, phase: Phase, *, version: int | None = None, reason: str = "", errors: Sequence[BaseException] = ()
    ) -> None:
        """Take note of a step."""


@dataclass(frozen=True)
class Candidate:
    """A model as it lies in its repository, read and found to be plausible.

    Attributes:
        name: the model's name.
        storage: where it lies.
        parsed: its configuration as written, with backend and platform filled in.
        versions: those that the version policy selects, ascending.
        overridden: whether something else than what is stored was read.
    """

    name: str
    storage: RepositoryStorage
    parsed: ParsedConfig
    versions: Sequence[int]
    overridden: bool


class Loader:
    """Makes models. Owns the storages, the backends and the response cache, which `close` closes.

    Args:
        repositories: the locations of the model repositories.
        options: the server's settings.
        plugins: where backends, schedulers, storages and caches come from.
        models: the models of the server, which those that are made may call.
    """

    def __init__(
        self, repositories: Sequence[str], options: ServerOptions, plugins: Plugins, models: Models | None = None
    ) -> None:
        self._options = options
        self._plugins = plugins
        self._models = NoModels() if models is None else models
        self._clock = Clock()
        self._backends = Backends(options, plugins)
        self._cache = self._response_cache()
        limited = options.rate_limit == "execution_count"
        self._rate_limiter = RateLimiter(options.rate_limit_resource) if limited else None
        self.storages = [self._storage(url) for url in repositories]

    def _storage(self, url: str) -> RepositoryStorage:
        scheme, separator, _ = url.partition("://")
        asker = f'the model repository "{url}"'
        return self._plugins.storage(scheme if separator else "file", asker=asker)(url)

    def _response_cache(self) -> ResponseCache | None:
        for name, settings in self._options.cache_config.items():
            return self._plugins.cache(name, asker="--cache-config")(settings)
        return None

    def names(self) -> list[str]:
        """List the models of all repositories, sorted.

        Raises:
            RepositoryError: a repository cannot be read.
        """
        return sorted({name for storage in self.storages for name in storage.model_names()})

    def override(self, name: str, parameters: LoadParameters) -> Override:
        """Read what comes with the load of a model. The caller closes it.

        Raises:
            RepositoryError: files came without a configuration, or a repository cannot be read.
            ConfigError: the configuration is wrong.
        """
        return Override(name, parameters, self._fingerprint(name))

    def in_force(self, name: str, override: Override | None) -> Override | None:
        """Give the override that a load without parameters goes on with, or None.

        As in the reference, a configuration holds until the model's files in the repositories change, and files not at all.
        """
        if override is None or override.storage is not None:
            return None
        return override if override.stored == self._fingerprint(name) else None

    def _fingerprint(self, name: str) -> str:
        return "".join(storage.fingerprint(name) for storage in self.storages)

    def read(self, name: str, tell: Teller, override: Override | None = None) -> Candidate:
        """Read a model's configuration and find its versions, in the repositories or in what stands in for them.

        Raises:
            RepositoryError: no repository has the model, or several do, or it cannot be read.
            ConfigError: the configuration is wrong.
        """
        tell(Phase.READING)
        storage = (override.storage if override else None) or self._home_of(name)
        entries = storage.entries(name)
        files = {entry.name for entry in entries if not entry.is_directory}
        parsed = override.parsed if override else self._parse(storage, name, files)
        available = model_versions(entries, name)
        first = min(map(str, available), default=None)
        inside = [entry.name for entry in storage.entries(name, first)] if first is not None else []
        parsed = complete_framework(parsed, inside, name)
        versions = selected_versions(parsed.config.version_policy, available, model=name)
        return Candidate(name, storage, parsed, versions, overridden=override is not None)

    def _home_of(self, name: str) -> RepositoryStorage:
        homes = [storage for storage in self.storages if name in storage.model_names()]
        if not homes:
            places = ", ".join(f'"{storage.url}"' for storage in self.storages)
            raise RepositoryError(f'model "{name}" is not found in any model repository ({places})')
        if len(homes) > 1:
            places = " and ".join(f'"{storage.url}"' for storage in homes)
            raise RepositoryError(
                f'model "{name}" appears in two or more repositories, {places}: rename or remove all but one'
            )
        return homes[0]

    def _parse(self, storage: RepositoryStorage, name: str, files: set[str]) -> ParsedConfig:
        file = next((candidate for candidate in CONFIG_FILES if candidate in files), None)
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

    def load(self, candidate: Candidate, version: int, tell: Teller) -> Model:
        """Load one version: its instances run, and it can take requests, when this returns. The caller owns it.

        Raises:
            ConfigError: the completed configuration is wrong.
            PluginError: a plugin is missing.
            Exception: whatever the backend raised.
        """
        tell(Phase.LOADING, version=version)
        asker = f'model "{candidate.name}" ({candidate.parsed.file or "without a configuration file"})'
        kind = self._plugins.scheduler(scheduler_name(candidate.parsed.config), asker=asker)
        if kind.answers_itself:
            return self._load_composed(candidate, version, kind)
        backend = self._backends.get(candidate.parsed.config.backend, asker)
        with ExitStack() as undo:
            release = undo.enter_context(ExitStack())
            directory = candidate.storage.localize(candidate.name, candidate.versions)
            release.callback(candidate.storage.release, directory)
            context = self._context(candidate, version, backend, directory)
            labels = read_labels(context.config, directory)
            kind = self._plugins.scheduler(scheduler_name(context.config), asker=asker)
            scheduler = self._scheduler(
                kind, SchedulerContext(context.config, version, directory, self._models, self._clock), release
            )
            undo.callback(scheduler.close)
            loaded = backend.load(context)
            undo.callback(loaded.close)
            tell(Phase.INSTANTIATING, version=version)
            statistics = ModelStatistics()
            promptness = Promptness()
            model = Model(
                context.config,
                version,
                loaded=loaded,
                scheduler=scheduler,
                instances=_instances(context, loaded, scheduler, statistics, promptness, undo),
                statistics=statistics,
                promptness=promptness,
                labels=labels,
                responses=self._responses(context.config, version, statistics),
                release=release.close,
            )
            samples = warmup_samples(context.config, context.directory)
            if samples:
                tell(Phase.WARMING, version=version)
                model.warm_up(samples)
            undo.pop_all()
            undo.callback(model.close)
            model.start()
            undo.pop_all()
        return model

    def _scheduler(self, kind: type[Scheduler], context: SchedulerContext, release: ExitStack) -> Scheduler:
        """Make a model's scheduler, before which the rate limiter stands if there is one."""
        if self._rate_limiter is None:
            return kind(context)
        seats = self._rate_limiter.join(demands(context.config))
        release.callback(self._rate_limiter.leave, seats)
        return LimitedScheduler(kind(context), self._rate_limiter, seats)

    def _load_composed(self, candidate: Candidate, version: int, kind: type[Scheduler]) -> Model:
        """Load a version of a model whose scheduler answers by itself."""
        config = normalise(candidate.parsed.config)
        problems = check_loadable(config, places=candidate.parsed.places)
        if problems:
            raise ConfigError(candidate.name, problems, candidate.parsed.file)
        with ExitStack() as undo:
            directory = candidate.storage.localize(candidate.name, candidate.versions)
            undo.callback(candidate.storage.release, directory)
            statistics = ModelStatistics()
            model = Model(
                config,
                version,
                scheduler=kind(SchedulerContext(config, version, directory, self._models, self._clock)),
                statistics=statistics,
                labels={**inherited_labels(config, self._models), **read_labels(config, directory)},
                responses=self._responses(config, version, statistics),
                release=partial(candidate.storage.release, directory),
            )
            undo.pop_all()
        model.start()
        return model

    def compose(self, candidate: Candidate, failures: Mapping[str, CharoniaError]) -> Candidate:
        """Check a model that uses others against these, which serve, and fill in what follows from them.

        Args:
            candidate: the model.
            failures: why models that it uses could not be loaded, by name.

        Raises:
            CompositionError: they do not fit.
        """
        config = compose(candidate.parsed, self._models, failures)
        return replace(candidate, parsed=replace(candidate.parsed, config=config))

    def _responses(self, config: ModelConfig, version: int, statistics: ModelStatistics) -> ResponseLookup | None:
        if self._cache is None or not config.response_cache.enable:
            return None
        return ResponseLookup(self._cache, config.name, version, statistics)

    def _context(self, candidate: Candidate, version: int, backend: Backend, directory: Path) -> ModelContext:
        written = type(candidate.parsed.config)()
        written.CopyFrom(candidate.parsed.config)
        if not written.default_model_filename:
            written.default_model_filename = backend.default_model_filename
        context = ModelContext(
            candidate.name,
            version,
            directory,
            written,
            auto_complete=not self._options.disable_auto_complete_config,
            schedulers=frozenset(self._plugins.names("scheduler")),
            default_max_batch_size=self._options.default_max_batch_size(written.backend),
            models=self._models,
        )
        completed = backend.complete_config(context) if context.auto_complete else written
        config = normalise(
            adopt_completion(written, completed),
            gpus=backend.gpus(),
            default_cpu_count=backend.default_cpu_instances,
        )
        problems = check_loadable(config, gpus=backend.gpus(), places=candidate.parsed.places)
        if problems:
            raise ConfigError(candidate.name, problems, candidate.parsed.file)
        return replace(context, config=config)

    def close(self) -> None:
        """Close the backends, the response cache and the storages. All models are closed. Idempotent."""
        self._clock.close()
        self._backends.close()
        if self._cache is not None:
            self._cache.close()
        for storage in self.storages:
            storage.close()


def _instances(
    context: ModelContext,
    loaded: LoadedModel,
    scheduler: Scheduler,
    statistics: ModelStatistics,
    promptness: Promptness,
    undo: ExitStack,
) -> list[ModelInstance]:
    instances: list[ModelInstance] = []
    places = instance_places(context.config)
    for name, device, passive in places:
        execution = loaded.instantiate(InstanceContext(name, device, context, len(places)))
        undo.callback(execution.close)
        instances.append(ModelInstance(execution, scheduler, statistics, promptness=promptness, passive=passive))
    return instances

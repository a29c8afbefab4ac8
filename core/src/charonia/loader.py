"""From what is written about a model to a model that can serve: it is loaded, gets its instances, and is warmed up."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Unpack

from charonia.backends import Backends
from charonia.blueprints import Blueprints
from charonia.clock import Clock
from charonia.composition import compose, inherited_labels
from charonia.config import check_loadable, composing_models, first_response_bounds_ms, normalise
from charonia.errors import ConfigError, InferenceError, InvalidArgumentError
from charonia.host_memory import GrowthMeter, files_byte_size
from charonia.instances import Instances
from charonia.labels import read_labels
from charonia.limited_scheduler import LimitedScheduler
from charonia.load_teller import LoadTeller, Phase
from charonia.memory_budget import MemoryBudget
from charonia.model import Model
from charonia.model_changes import same_but_instances
from charonia.model_parameters import ModelParameters
from charonia.models import NoModels
from charonia.on_demand import OnDemandModel
from charonia.promptness import Promptness
from charonia.rate_limiter import RateLimiter
from charonia.residency import Residence
from charonia.response_lookup import ResponseLookup
from charonia.scheduler import SchedulerContext, scheduler_name
from charonia.statistics import ModelStatistics
from charonia.warmup import synthetic_samples, warmup_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from charonia.access_log import AccessLog
    from charonia.backend import ModelContext
    from charonia.blueprints import Blueprint
    from charonia.cache import ResponseCache
    from charonia.config import ModelConfig
    from charonia.errors import CharoniaError
    from charonia.instances import Lineup
    from charonia.metric_families import MetricFamily
    from charonia.model_repositories import Candidate
    from charonia.models import AllModels
    from charonia.on_demand import Shown
    from charonia.options import ServerOptions
    from charonia.plugins import Plugins
    from charonia.scheduler import Scheduler
    from charonia.tracing import Tracer

__all__ = ["Loader"]

_log = logging.getLogger(__name__)


class Loader:
    """Makes models. Owns the backends and the response cache, which `close` closes.

    Args:
        options: the server's settings.
        plugins: where backends, schedulers and caches come from.
        models: the models of the server, which those that are made may call.
        tracer: what traces the requests of those that are made, if anything does.
        access_log: where their requests are noted, if the options say so.
    """

    def __init__(
        self,
        options: ServerOptions,
        plugins: Plugins,
        models: AllModels | None = None,
        tracer: Tracer | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        self._options = options
        self._plugins = plugins
        self._models: AllModels = NoModels() if models is None else models
        self._tracer = tracer
        self._access_log = access_log if options.log_access else None
        self._clock = Clock()
        self._growth = GrowthMeter()
        self._backends = Backends(options, plugins)
        self._blueprints = Blueprints(options, plugins, self._backends, self._models)
        self._budget = _memory_budget(options)
        self._cache = self._response_cache()
        limited = options.rate_limit == "execution_count"
        self._rate_limiter = RateLimiter(options.rate_limit_resource) if limited else None

    def _response_cache(self) -> ResponseCache | None:
        for name, settings in self._options.cache_config.items():
            return self._plugins.cache(name, asker="--cache-config")(settings)
        return None

    def load(self, candidate: Candidate, version: int, tell: LoadTeller) -> Model:
        """Load one version: its instances run, and it can take requests, when this returns. The caller owns it.

        Raises:
            ConfigError: the completed configuration is wrong.
            PluginError: a plugin is missing.
            Exception: whatever the backend raised.
        """
        tell(Phase.LOADING, version=version)
        kind = self._plugins.scheduler(scheduler_name(candidate.parsed.config), asker=candidate.asker)
        if kind.answers_itself:
            return self._load_composed(candidate, version, kind, tell)
        with ExitStack() as undo:
            release = undo.enter_context(ExitStack())
            directory = _localize(candidate, version, tell)
            release.callback(candidate.storage.release, directory)
            blueprint = self._blueprints.of(candidate, version, directory)
            config, statistics = blueprint.context.config, _statistics(blueprint.context.config)
            shown: Shown = {
                "statistics": statistics,
                "labels": blueprint.labels,
                "responses": self._responses(config, version, statistics),
                "tracer": self._tracer,
                "access_log": self._access_log,
            }
            if self._budget is None:
                model = self._build(blueprint, tell, release, **shown)
            else:
                model = self._on_demand(blueprint, release, self._budget, **shown)
            undo.pop_all()
        return model

    def _on_demand(
        self, blueprint: Blueprint, release: ExitStack, budget: MemoryBudget, **shown: Unpack[Shown]
    ) -> Model:
        """Make a model that is loaded at its first request, or now if it is pinned. `release` is closed with it."""
        context = blueprint.context

        def build(config: ModelConfig, reserve: Callable[[], None]) -> Model:
            reserve()
            now = replace(blueprint, context=replace(context, config=config))
            with ExitStack() as undo:
                taken = undo.enter_context(ExitStack())
                model = self._build(now, LoadTeller(context.name), taken, statistics=shown["statistics"])
                undo.pop_all()
            return model

        pinned = context.name in self._options.load_model or ModelParameters("", context.config).flag("pinned")
        expected = files_byte_size(context.version_directory)
        residence = Residence(context.key, context.version, expected, pinned=pinned)
        model = OnDemandModel(self._scheduler_context(context), build, budget, residence, release.close, **shown)
        if pinned:
            with ExitStack() as undo:
                undo.callback(model.close)
                model.bring_in()
                undo.pop_all()
        return model

    def _scheduler_context(self, context: ModelContext) -> SchedulerContext:
        return SchedulerContext(context.config, context.version, context.directory, context.models, self._clock)

    def _build(self, blueprint: Blueprint, tell: LoadTeller, release: ExitStack, **shown: Unpack[Shown]) -> Model:
        """Load the weights of a version, and make a model of it that is warm and takes requests. `release` is closed with it."""
        context, promptness = blueprint.context, Promptness()
        with self._growth.measured() as growth, ExitStack() as undo:
            scheduler = self._scheduler(blueprint.scheduler, self._scheduler_context(context), release)
            undo.callback(scheduler.close)
            loaded = blueprint.backend.load(context)
            undo.callback(loaded.close)
            tell(Phase.INSTANTIATING, version=context.version)
            instances = Instances(loaded, scheduler, shown["statistics"], promptness)
            lineup = instances.prepare(context)
            undo.callback(lineup.discard)
            model = Model(
                context.config,
                context.version,
                loaded=loaded,
                scheduler=scheduler,
                instances=instances,
                promptness=promptness,
                release=release.close,
                **shown,
            )
            self._warm_up(model, lineup, context.directory, tell)
            undo.pop_all()
            undo.callback(model.close)
            model.use(lineup)
            undo.pop_all()
        model.estimated_byte_size = max(growth.byte_size, files_byte_size(context.version_directory))
        return model

    def prepare(self, candidate: Candidate, model: Model, tell: LoadTeller) -> Lineup | None:
        """Make the instances that a model, which goes on serving, lacks of what is written about it now; `Model.use` follows.

        Gives None where more has changed than the number of instances and the version policy: then it is to be loaded anew.

        Raises:
            ConfigError: the completed configuration is wrong.
            NoRoomError: the memory budget has no room for the instances.
            Exception: whatever the backend raised.
        """
        if model.directory is None:
            return None
        context = self._blueprints.of(candidate, model.version, model.directory).context
        if not same_but_instances(model.config, context.config):
            return None
        before = 0

        def begin() -> None:
            nonlocal before
            before = model.host_byte_size  # of what is in memory now, and stays there
            tell(Phase.INSTANTIATING, version=model.version)

        with ExitStack() as undo:
            with self._growth.measured() as growth:
                lineup = model.prepare(context, begin)
                if lineup is None:
                    return None
                undo.callback(lineup.discard)
                self._warm_up(model, lineup, context.directory, tell)
            if lineup.joining:
                known = model.host_byte_size - before
                lineup.byte_size = max(0, known if model.knows_byte_size else growth.byte_size)
            model.make_room(lineup)
            undo.pop_all()
        return lineup

    def _scheduler(self, kind: type[Scheduler], context: SchedulerContext, release: ExitStack) -> Scheduler:
        """Make a model's scheduler, before which the rate limiter stands if there is one."""
        if self._rate_limiter is None:
            return kind(context)
        limited = LimitedScheduler(kind(context), self._rate_limiter)
        release.callback(limited.leave)
        return limited

    def _warm_up(self, model: Model, lineup: Lineup, directory: Path, tell: LoadTeller) -> None:
        """Have new instances execute the samples of the configuration; without any, those that the server makes up if told to.

        That a model does not take the latter is no reason not to serve it.
        """
        samples = warmup_samples(model.config, directory)
        made_up = [] if model.config.model_warmup else synthetic_samples(model.config, self._options.warmup_batch_sizes)
        if lineup.joining and (samples or made_up):
            tell(Phase.WARMING, version=model.version)
        model.warm_up(samples, lineup)
        try:
            model.warm_up(made_up, lineup)
        except InvalidArgumentError as error:
            _log.warning('model "%s" does not take zeros to warm up with, and serves cold: %s', model.name, error)

    def _load_composed(self, candidate: Candidate, version: int, kind: type[Scheduler], tell: LoadTeller) -> Model:
        """Load a version of a model whose scheduler answers by itself."""
        config = normalise(candidate.parsed.config)
        problems = check_loadable(config, places=candidate.parsed.places)
        if problems:
            raise ConfigError(candidate.name, problems, candidate.parsed.file)
        with ExitStack() as undo:
            directory = _localize(candidate, version, tell)
            undo.callback(candidate.storage.release, directory)
            statistics = _statistics(config)
            models = self._models.within(candidate.namespace, candidate.homes)
            model = Model(
                config,
                version,
                scheduler=kind(SchedulerContext(config, version, directory, models, self._clock)),
                statistics=statistics,
                labels={**inherited_labels(config, models), **read_labels(config, directory)},
                responses=self._responses(config, version, statistics),
                tracer=self._tracer,
                access_log=self._access_log,
                release=partial(candidate.storage.release, directory),
            )
            undo.pop_all()
        if self._budget is not None:
            used = {name for name, _ in composing_models(config)}
            self._budget.note_composed(model, candidate.key, map(candidate.key_of_used, used))
        return model

    def compose(self, candidate: Candidate, failures: Mapping[str, CharoniaError]) -> Candidate:
        """Check a model that uses others against these, which serve, and fill in what follows from them.

        Args:
            candidate: the model, with the homes of those that it may use.
            failures: why it may not use others, and why some could not be loaded, by name. Of these, what serves is good enough.

        Raises:
            ConfigError: it is unsound by itself.
            CompositionError: they do not fit.
        """
        models = self._models.within(candidate.namespace, candidate.homes)

        def find(name: str, version: int | None) -> ModelConfig:
            if name not in candidate.homes:
                raise failures[name]
            try:
                return models.model_config(name, version)
            except InferenceError as error:
                raise failures.get(name, error) from error

        config = compose(candidate.parsed, find)
        for step in config.ensemble_scheduling.step:
            step.model_namespace = candidate.homes.get(step.model_name, "")
        return replace(candidate, parsed=replace(candidate.parsed, config=config))

    def _responses(self, config: ModelConfig, version: int, statistics: ModelStatistics) -> ResponseLookup | None:
        if self._cache is None or not config.response_cache.enable:
            return None
        return ResponseLookup(self._cache, config.name, version, statistics)

    def metrics(self) -> list[MetricFamily]:
        """Give the metrics that the memory budget, the response cache and the backends tell of themselves."""
        budget = [] if self._budget is None else self._budget.metrics()
        return [*budget, *self._cache_metrics(), *self._backends.metrics()]

    def _cache_metrics(self) -> Sequence[MetricFamily]:
        if self._cache is None:
            return ()
        try:
            return self._cache.metrics()
        except Exception:  # noqa: BLE001 - the border of the cache: who looks at the metrics sees those of the others
            _log.warning("%s failed to tell its metrics", type(self._cache).__name__, exc_info=True)
            return ()

    def close(self) -> None:
        """Close the backends and the response cache. All models are closed. Idempotent."""
        if self._budget is not None:
            self._budget.close()
        self._clock.close()
        self._backends.close()
        if self._cache is not None:
            self._cache.close()


def _memory_budget(options: ServerOptions) -> MemoryBudget | None:
    if not options.memory_budget:
        return None
    return MemoryBudget(options.memory_budget, options.memory_wait_secs, options.model_load_thread_count)


def _statistics(config: ModelConfig) -> ModelStatistics:
    return ModelStatistics(first_response_bounds_ms(config))


def _localize(candidate: Candidate, version: int, tell: LoadTeller) -> Path:
    """Have the storage bring the model's files, and tell how that gets on."""

    def progress(done: int, total: int) -> None:
        tell(Phase.BRINGING, version=version, brought=(done, total))

    return candidate.storage.localize(candidate.name, candidate.versions, progress)

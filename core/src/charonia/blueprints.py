"""What there is to know of a model version before its weights are loaded: the configuration is completed and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from charonia.backend import ModelContext
from charonia.completion import adopt_completion
from charonia.config import check_loadable, normalise
from charonia.errors import ConfigError
from charonia.labels import read_labels
from charonia.scheduler import scheduler_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia.backend import Backend
    from charonia.backends import Backends
    from charonia.model_repositories import Candidate
    from charonia.models import AllModels
    from charonia.options import ServerOptions
    from charonia.plugins import Plugins
    from charonia.scheduler import Scheduler

__all__ = ["Blueprint", "Blueprints"]


@dataclass(frozen=True)
class Blueprint:
    """All that is known of a version before its weights are loaded.

    Attributes:
        context: what its backend is told; the configuration is complete and sound.
        backend: the backend.
        scheduler: the kind of its scheduler.
        labels: the labels of outputs' elements, by output, for those outputs that have any.
    """

    context: ModelContext
    backend: Backend
    scheduler: type[Scheduler]
    labels: Mapping[str, Sequence[bytes]]


class Blueprints:
    """Draws blueprints.

    Args:
        options: the server's settings.
        plugins: where schedulers come from.
        backends: the server's backends; not owned.
        models: the models of the server, which those that are made may call.
    """

    def __init__(self, options: ServerOptions, plugins: Plugins, backends: Backends, models: AllModels) -> None:
        self._options = options
        self._plugins = plugins
        self._backends = backends
        self._models = models

    def of(self, candidate: Candidate, version: int, directory: Path) -> Blueprint:
        """Find out all that there is to know of a version.

        Args:
            candidate: the model.
            version: the version.
            directory: the model's directory on this machine.

        Raises:
            ConfigError: the completed configuration is wrong.
            PluginError: a plugin is missing.
            Exception: whatever the backend raised.
        """
        backend = self._backends.get(candidate.parsed.config.backend, candidate.asker)
        context = self._context(candidate, version, backend, directory)
        labels = read_labels(context.config, directory)
        scheduler = self._plugins.scheduler(scheduler_name(context.config), asker=candidate.asker)
        return Blueprint(context, backend, scheduler, labels)

    def _context(self, candidate: Candidate, version: int, backend: Backend, directory: Path) -> ModelContext:
        """Have the backend complete the configuration, and check what it has become."""
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
            models=self._models.within(candidate.namespace, candidate.homes),
            key=candidate.key,
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

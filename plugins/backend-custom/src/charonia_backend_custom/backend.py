"""The backend "python": models that are Python files in the repository."""

from __future__ import annotations

import gc
import json
import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any

from charonia.backend import Backend
from charonia.config import config_from_json, config_to_json
from charonia.machine_gpus import machine_gpus
from charonia.model_parameters import ModelParameters, warn_of_misspelt

from charonia_backend_custom.circles import WaitGraph
from charonia_backend_custom.host import ServerHost
from charonia_backend_custom.imports import ModelFinder
from charonia_backend_custom.metric_values import HeldMetrics, MetricTable
from charonia_backend_custom.model_file import ModelFile
from charonia_backend_custom.process.environment import ENVIRONMENT, interpreter_of
from charonia_backend_custom.process.model_process import ModelProcess
from charonia_backend_custom.process.process_model import ProcessModel
from charonia_backend_custom.thread_model import ThreadModel, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.backend import LoadedModel, ModelContext
    from charonia.config import ModelConfig
    from charonia.metric_families import MetricFamily

__all__ = ["CustomBackend"]

_log = logging.getLogger("charonia.backend_custom.backend")

_MODE = "EXECUTION_MODE"
_PARAMETERS = (
    *(_MODE, ENVIRONMENT, "NEVER_WAITS", "ASYNC_EXECUTIONS", "FORCE_CPU_ONLY_INPUT_TENSORS"),
    *("scheduler", "batch_strategy"),  # read by others
)


class CustomBackend(Backend):
    """Runs the class `TritonPythonModel` of a model's `model.py`: in this process, or in processes of its own."""

    default_model_filename = "model.py"

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(options)
        warn_of_misspelt("setting of the backend python", options, [_MODE])
        self._finder = ModelFinder()
        self._graph = WaitGraph()
        self._metrics = MetricTable()

    def gpus(self) -> Sequence[int]:
        """List the GPUs of this machine. What an instance does with its one is the model's affair, which is told its number."""
        return machine_gpus()

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Have the model's `auto_complete_config`, if it has one, fill the configuration in, where the model runs."""
        host = self._host(context)
        try:
            completed = self._completed(context, host, config_to_json(context.config))
        finally:
            host.close()
            gc.collect(1)  # the file is about to be imported again, and may hold a lot; all of it is young
        if completed is None:
            return context.config
        return _servable(config_from_json(json.dumps(completed), model=context.name), context)

    def _completed(self, context: ModelContext, host: ServerHost, config: dict[str, Any]) -> dict[str, Any] | None:
        if self._runs_in_process(context):
            process = ModelProcess(context, host, interpreter_of(context), context.name)
            with closing(process):
                return process.complete(config)
        with closing(ModelFile(place_of(context, host), context.model_path, self._finder)) as file:
            return file.complete(config)

    def load(self, context: ModelContext) -> LoadedModel:
        """Import the model's file; or make ready for the processes that do."""
        warn_of_misspelt(f'model "{context.name}": parameter', context.config.parameters, _PARAMETERS)
        host = self._host(context)
        try:
            if self._runs_in_process(context):
                return ProcessModel(context, host, interpreter_of(context))
            return ThreadModel(context, host, self._finder)
        except BaseException:
            host.close()
            raise

    def _runs_in_process(self, context: ModelContext) -> bool:
        """Tell whether a model has processes of its own; one that has an environment of its own cannot do without."""
        parameters = ModelParameters("python", context.config, self.options)
        in_process = parameters.choice(_MODE, {"thread": False, "process": True}, default=False)
        return in_process or ENVIRONMENT in context.config.parameters

    def _host(self, context: ModelContext) -> ServerHost:
        return ServerHost(context, self._graph, HeldMetrics(self._metrics, context.name))

    def metrics(self) -> Sequence[MetricFamily]:
        """Give the metrics that models have made."""
        return self._metrics.snapshot()

    def close(self) -> None:
        """Leave Python's import system as it was, and look for no circles any more."""
        self._graph.close()
        self._finder.close()


def _servable(completed: ModelConfig, context: ModelContext) -> ModelConfig:
    """Leave out a dynamic batcher that only the completion asks for, where none is installed: the model works without it."""
    asked_for = completed.HasField("dynamic_batching") and not context.config.HasField("dynamic_batching")
    if asked_for and "dynamic_batching" not in context.schedulers:
        _log.warning(
            'model "%s": auto_complete_config asks for dynamic batching, for which no plugin is installed: '
            "requests are executed one by one",
            context.name,
        )
        completed.ClearField("dynamic_batching")
    return completed

"""One loaded version of a Python model: its modules, which all instances share."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

from charonia.backend import LoadedModel
from charonia.model_parameters import ModelParameters
from triton_python_backend_utils.place import ModelPlace

from charonia_backend_custom.execution import CoroutineExecution, DecoupledExecution, UnaryExecution
from charonia_backend_custom.model_file import ModelFile

if TYPE_CHECKING:
    from charonia.backend import Execution, InstanceContext, ModelContext

    from charonia_backend_custom.execution import ThreadExecution
    from charonia_backend_custom.host import ServerHost
    from charonia_backend_custom.imports import ModelFinder

__all__ = ["ThreadModel", "batches_at_once", "place_of"]

_AT_ONCE = 64
"""How many batches of an `execute` that is a coroutine are in progress at once, unless the model says otherwise."""


def place_of(context: ModelContext, host: ServerHost) -> ModelPlace:
    """Tell where a model is."""
    return ModelPlace(context.name, context.version, context.version_directory.absolute(), host)


def batches_at_once(context: ModelContext) -> int:
    """Tell how many batches of an `execute` that is a coroutine may be in progress at once, for each instance.

    One where the model keeps sequences, whose requests follow each other.
    """
    if context.config.HasField("sequence_batching"):
        return 1
    return ModelParameters("python", context.config).number("ASYNC_EXECUTIONS") or _AT_ONCE


class ThreadModel(LoadedModel):
    """One version: the model's modules, of whose class each instance makes an object of its own.

    Args:
        context: the model.
        host: what the server does for it; closed with the model.
        finder: finds the model's modules.

    Raises:
        InternalError: the file cannot be imported, or has no class TritonPythonModel.
    """

    def __init__(self, context: ModelContext, host: ServerHost, finder: ModelFinder) -> None:
        super().__init__(context)
        self._host = host
        self._file = ModelFile(place_of(context, host), context.model_path, finder)

    def instantiate(self, context: InstanceContext) -> Execution:
        """Make and initialise an object of the model's class."""
        self._host.graph.station(self.context.name, self.context.version, context.instance_count)
        try:
            return self._execution(context)
        finally:
            self._file.keep_added_paths()

    def _execution(self, context: InstanceContext) -> ThreadExecution:
        kind, place, graph = self._file.kind, self._file.place, self._host.graph
        if self.context.config.model_transaction_policy.decoupled:
            return DecoupledExecution(context, kind, place, graph)
        at_once = batches_at_once(self.context)
        if at_once > 1 and iscoroutinefunction(getattr(kind, "execute", None)):
            return CoroutineExecution(context, kind, place, graph, at_once=at_once)
        return UnaryExecution(context, kind, place, graph)

    def close(self) -> None:
        """Let go of the model's modules and metrics."""
        self._file.close()
        self._host.close()

"""One loaded version of a Python model: its modules, which all instances share."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING

from charonia.backend import LoadedModel
from charonia.model_parameters import ModelParameters
from triton_python_backend_utils.place import ModelPlace

from charonia_backend_custom.execution import execution_of, initialize_arguments
from charonia_backend_custom.model_file import ModelFile
from charonia_backend_custom.model_object import ModelObject
from charonia_backend_custom.readiness import all_confirmed

if TYPE_CHECKING:
    from charonia.backend import Execution, InstanceContext, ModelContext

    from charonia_backend_custom.execution import ModelExecution
    from charonia_backend_custom.host import ServerHost
    from charonia_backend_custom.imports import ModelFinder

__all__ = ["ThreadModel", "place_of"]

_log = logging.getLogger("charonia.backend_custom.thread_model")


def place_of(context: ModelContext, host: ServerHost) -> ModelPlace:
    """Tell where a model is."""
    return ModelPlace(context.name, context.version, context.version_directory.absolute(), host)


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
        self._executions: weakref.WeakSet[ModelExecution] = weakref.WeakSet()
        self._file = ModelFile(place_of(context, host), context.model_path, finder)
        try:
            self._never_waits = _never_waits(context, self._file)
        except BaseException:
            self._file.close()
            raise

    def instantiate(self, context: InstanceContext) -> Execution:
        """Make and initialise an object of the model's class."""
        try:
            execution = execution_of(context, self._object(context), self._host.graph, never_waits=self._never_waits)
        finally:
            self._file.keep_added_paths()
        self._executions.add(execution)
        return execution

    def _object(self, context: InstanceContext) -> ModelObject:
        decoupled = self.context.config.model_transaction_policy.decoupled
        file = self._file
        return ModelObject(file.kind, file.place, file.file, initialize_arguments(context), decoupled=decoupled)

    def confirm_ready(self) -> bool:
        """Ask all instances."""
        return all_confirmed(execution.readiness for execution in list(self._executions))

    def close(self) -> None:
        """Let go of the model's modules and metrics."""
        self._file.close()
        self._host.close()


def _never_waits(context: ModelContext, file: ModelFile) -> bool:
    """Tell whether a model waits for nothing while it executes: by what its author says, else by what its code shows."""
    parameters = ModelParameters("python", context.config)
    if parameters.text("NEVER_WAITS"):
        return parameters.flag("NEVER_WAITS")
    found = file.what_may_wait()
    if found:
        _log.debug('model "%s": only its own threads execute it, since it may wait: %s', context.name, found)
    else:
        _log.debug('model "%s": its code waits for nothing: event loops may execute it once it is quick', context.name)
    return not found

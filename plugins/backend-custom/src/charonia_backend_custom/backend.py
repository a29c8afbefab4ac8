"""The backend "python": models that are Python files in the repository."""

from __future__ import annotations

import gc
import json
import logging
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils
from charonia.backend import Backend, LoadedModel
from charonia.config import config_from_json, config_to_json
from charonia.errors import InternalError, UnsupportedError

from charonia_backend_custom.execution import DecoupledExecution, UnaryExecution
from charonia_backend_custom.failures import MODEL_FAILURES, load_failure
from charonia_backend_custom.imports import ModelFinder, ModelImports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.backend import Execution, InstanceContext, ModelContext
    from charonia.config import ModelConfig

__all__ = ["CustomBackend", "CustomModel"]

_log = logging.getLogger(__name__)

_OWN_ENVIRONMENT = "EXECUTION_ENV_PATH"


class CustomBackend(Backend):
    """Runs the class `TritonPythonModel` of a model's `model.py`, in this process."""

    default_model_filename = "model.py"

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(options)
        self._finder = ModelFinder()

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Have the model's `auto_complete_config`, if it has one, fill the configuration in."""
        try:
            completed = self._completed(context)
        finally:
            gc.collect(1)  # the file is about to be imported again, and may hold a lot; all of it is young
        if completed is None:
            return context.config
        return _servable(config_from_json(json.dumps(completed.as_dict()), model=context.name), context)

    def _completed(self, context: ModelContext) -> pb_utils.ModelConfig | None:
        imports = ModelImports(context, self._finder)
        try:
            method = getattr(_model_class(context, imports), "auto_complete_config", None)
            return None if method is None else _call_completion(context, method)
        finally:
            imports.close()

    def load(self, context: ModelContext) -> CustomModel:
        """Import the model's file."""
        return CustomModel(context, ModelImports(context, self._finder))

    def close(self) -> None:
        """Leave Python's import system as it was."""
        self._finder.close()


class CustomModel(LoadedModel):
    """One version: the model's modules, of whose class each instance makes an object of its own.

    Args:
        context: the model.
        imports: its modules; closed with the model.

    Raises:
        InternalError: the file cannot be imported, or has no class TritonPythonModel.
    """

    def __init__(self, context: ModelContext, imports: ModelImports) -> None:
        super().__init__(context)
        self._imports = imports
        try:
            self._kind: type[Any] | None = _model_class(context, imports)
        except BaseException:
            imports.close()
            raise

    def instantiate(self, context: InstanceContext) -> Execution:
        """Make and initialise an object of the model's class."""
        assert self._kind is not None  # noqa: S101 - a model that is closed has no more instances
        decoupled = self.context.config.model_transaction_policy.decoupled
        try:
            return (DecoupledExecution if decoupled else UnaryExecution)(context, self._kind)
        finally:
            self._imports.keep_added_paths()

    def close(self) -> None:
        """Forget the model's modules. What they held is free when this returns, however large: it does not wait for Python."""
        self._kind = None
        self._imports.close()
        gc.collect()  # modules refer to their functions, and these to them


def _model_class(context: ModelContext, imports: ModelImports) -> type[Any]:
    """Import the model's file, and give its class."""
    if _OWN_ENVIRONMENT in context.config.parameters:
        raise UnsupportedError(
            f"model '{context.name}' has the parameter {_OWN_ENVIRONMENT}: models in an environment of their own are not "
            "supported yet. Install what it needs beside the server, and remove the parameter"
        )
    file = context.model_path
    if not file.is_file():
        raise InternalError(f"Python model file not found in '{file}'")
    try:
        module = imports.load(file)
    except MODEL_FAILURES as error:  # the border of loading: what the file raises is the reason why it is not there
        raise load_failure(error) from error
    kind: type[Any] | None = getattr(module, "TritonPythonModel", None)
    if kind is None:
        raise InternalError(
            f"AttributeError: module '{context.version}.{file.stem}' has no attribute 'TritonPythonModel'"
        )
    return kind


def _call_completion(context: ModelContext, method: Any) -> pb_utils.ModelConfig:
    try:
        completed = method(pb_utils.ModelConfig(config_to_json(context.config)))
    except MODEL_FAILURES as error:  # the border of loading
        raise load_failure(error) from error
    if not isinstance(completed, pb_utils.ModelConfig):
        raise InternalError(
            f"auto_complete_config function in model '{context.name}' must return a valid pb.ModelConfig object."
        )
    return completed


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

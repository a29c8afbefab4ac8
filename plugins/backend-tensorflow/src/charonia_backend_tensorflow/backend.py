"""The backend and its models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.backend import Backend, LoadedModel
from charonia.errors import InvalidArgumentError, NotFoundError
from charonia.graph import check_against_graph, complete_from_graph, is_complete

from charonia_backend_tensorflow.accelerators import check_accelerators
from charonia_backend_tensorflow.execution import TensorFlowExecution
from charonia_backend_tensorflow.graph_def import GraphDef
from charonia_backend_tensorflow.operators import load_operators
from charonia_backend_tensorflow.runtime import tensorflow
from charonia_backend_tensorflow.saved_model import SavedModel
from charonia_backend_tensorflow.session import SharedSessions
from charonia_backend_tensorflow.settings import BackendSettings, parameters_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.backend import InstanceContext, ModelContext
    from charonia.config import ModelConfig

__all__ = ["TensorFlowBackend", "TensorFlowModel"]

_SAVED_MODEL = "tensorflow_savedmodel"
_GRAPH_DEF = "tensorflow_graphdef"


class TensorFlowBackend(Backend):
    """Runs `model.savedmodel`, a directory, and `model.graphdef`, a file.

    Args:
        options: see `charonia_backend_tensorflow.settings.BackendSettings`.
    """

    default_model_filename = "model.savedmodel"
    default_cpu_instances = 2  # as in the reference

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(options)
        self._settings = BackendSettings.read(options)

    def gpus(self) -> Sequence[int]:
        """List the GPUs that this build of TensorFlow can use."""
        return range(len(tensorflow().config.list_physical_devices("GPU")))

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Fill in what the signature of a SavedModel tells; see `charonia.graph`. A GraphDef does not tell anything."""
        if is_complete(context.config) or not _is_saved_model(context):
            return context.config
        model = SavedModel(context, parameters_of(context.config))
        return complete_from_graph(context, model.endpoints.graph)

    def load(self, context: ModelContext) -> TensorFlowModel:
        """Read the model's file and compare it with the configuration; its sessions are opened with its instances."""
        build = tensorflow().sysconfig.get_build_info()
        check_accelerators(context.config, tensorrt=bool(build.get("is_tensorrt_build")))
        load_operators(context)
        return TensorFlowModel(context, self._settings)


class TensorFlowModel(LoadedModel):
    """One version of a model, with the sessions that its instances share."""

    def __init__(self, context: ModelContext, settings: BackendSettings) -> None:
        super().__init__(context)
        parameters = parameters_of(context.config)
        model = SavedModel(context, parameters) if _is_saved_model(context) else GraphDef(context)
        self._endpoints = model.endpoints
        check_against_graph(context.config, self._endpoints.graph)
        self._sessions = SharedSessions(context, parameters, settings, model)

    def instantiate(self, context: InstanceContext) -> TensorFlowExecution:
        """Make an execution in a session of its device."""
        session = self._sessions.session(context.device)
        return TensorFlowExecution(context, session, self._endpoints, one_by_one=self._sessions.threads.one_by_one)

    def close(self) -> None:
        """Close the sessions."""
        self._sessions.close()


def _is_saved_model(context: ModelContext) -> bool:
    """Tell a SavedModel, which is a directory, from a GraphDef, which is a file.

    Raises:
        NotFoundError: there is neither.
        InvalidArgumentError: it is not what the configuration's platform says.
    """
    path, platform = context.model_path, context.config.platform
    if not path.exists():
        raise NotFoundError(
            f"model '{context.name}' has no '{path}': put the directory of a SavedModel or the file of a GraphDef there, or "
            "name it by default_model_filename"
        )
    found = _SAVED_MODEL if path.is_dir() else _GRAPH_DEF
    if platform in {_SAVED_MODEL, _GRAPH_DEF} and platform != found:
        raise InvalidArgumentError(
            f"model '{context.name}' has the platform {platform}, but '{path}' is "
            f'{"a directory" if path.is_dir() else "a file"}: write platform: "{found}", or put the other kind of model there'
        )
    return path.is_dir()

"""The backend and its models: engines, shared by the instances of a GPU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from charonia.backend import Backend, LoadedModel
from charonia.errors import InvalidArgumentError
from charonia.graph import is_complete

from charonia_backend_tensorrt import cuda
from charonia_backend_tensorrt.completion import check_against_engine, complete_from_engine
from charonia_backend_tensorrt.engine import open_engine
from charonia_backend_tensorrt.execution import TensorRTExecution
from charonia_backend_tensorrt.settings import BackendSettings, allocation_strategy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.backend import InstanceContext, ModelContext
    from charonia.config import ModelConfig

    from charonia_backend_tensorrt.engine import Engine

__all__ = ["TensorRTBackend", "TensorRTModel"]


class TensorRTBackend(Backend):
    """Runs `model.plan`, or the plan that `cc_model_filenames` names for a GPU's compute capability.

    Args:
        options: see `charonia_backend_tensorrt.settings.BackendSettings`.
    """

    default_model_filename = "model.plan"

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(options)
        self._settings = BackendSettings.read(options)

    def gpus(self) -> Sequence[int]:
        """List the GPUs that CUDA can use."""
        return cuda.gpus()

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Fill in what the engine tells; the largest batch is that of the profile that allows the most."""
        if is_complete(context.config):
            return context.config
        return complete_from_engine(context, open_engine(context, 0, self._settings).tensors)

    def load(self, context: ModelContext) -> TensorRTModel:
        """Load the model; its engines come with its instances."""
        return TensorRTModel(context, self._settings)


class TensorRTModel(LoadedModel):
    """One version of a model: an engine for each GPU, which the instances there share."""

    def __init__(self, context: ModelContext, settings: BackendSettings) -> None:
        super().__init__(context)
        self._settings = settings
        self._strategy = allocation_strategy(context.config)
        self._lock = threading.Lock()  # guards `_engines`
        self._engines: dict[int, Engine] = {}

    def instantiate(self, context: InstanceContext) -> TensorRTExecution:
        """Make an execution of the GPU's engine, which is loaded for its first instance."""
        device = context.device
        with self._lock:
            if device.id not in self._engines:
                self._engines[device.id] = self._open(device.id)
            engine = self._engines[device.id]
        if device.kind != "GPU":
            raise InvalidArgumentError(
                f"unable to load model '{context.model.name}', TensorRT backend supports only GPU device: write KIND_GPU into "
                "its instance_group, or leave that out"
            )
        return TensorRTExecution(context, engine, self._strategy)

    def _open(self, gpu: int) -> Engine:
        engine = open_engine(self.context, gpu, self._settings)
        check_against_engine(self.context.config, engine.tensors)
        return engine

    def close(self) -> None:
        """Let the engines go."""
        self._engines.clear()

"""The backend and its models: sessions of ONNX Runtime, shared by the instances of a device."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from charonia.backend import Backend, LoadedModel
from charonia.graph import check_against_graph, complete_from_graph, is_complete
from charonia.machine_gpus import machine_gpus
from charonia.model_parameters import warn_of_misspelt

from charonia_backend_onnx.execution import OnnxExecution
from charonia_backend_onnx.graph import check_passable, read_graph
from charonia_backend_onnx.parameters import BACKEND_SETTINGS, PARAMETERS, parameters_of, shrinking_arenas
from charonia_backend_onnx.providers import (
    CUDA,
    available_providers,
    check_obtained,
    idle_accelerators,
    wanted_providers,
)
from charonia_backend_onnx.runtime import onnxruntime, share_thread_pool
from charonia_backend_onnx.session import model_file, open_for_reading, open_session, session_options
from charonia_backend_onnx.threads import instances_by_device, session_device, usable_cores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.backend import Device, InstanceContext, ModelContext
    from charonia.config import ModelConfig
    from charonia.graph import Graph

__all__ = ["OnnxBackend", "OnnxModel"]

_log = logging.getLogger("charonia.backend_onnx.backend")

_PARAMETERS_OF_THE_CORE = ("scheduler",)


class OnnxBackend(Backend):
    """Runs `model.onnx`: a file, or a directory that holds `model.onnx` beside its external data.

    Args:
        options: `default-max-batch-size` (which the core reads), `enable-global-threadpool`, `intra_op_thread_count`,
            `inter_op_thread_count`.
    """

    default_model_filename = "model.onnx"
    default_cpu_instances = 2  # as in the reference

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(options)
        warn_of_misspelt("setting of the backend onnxruntime", options, BACKEND_SETTINGS)
        settings = parameters_of(None, options)
        if settings.flag("enable-global-threadpool"):
            cores = usable_cores()
            share_thread_pool(
                settings.number("intra_op_thread_count") or cores, settings.number("inter_op_thread_count") or cores
            )
        self._told_of_idle_gpus = False

    def gpus(self) -> Sequence[int]:
        """List the GPUs that this build of ONNX Runtime can use."""
        gpus = machine_gpus()
        if CUDA in onnxruntime().get_available_providers():
            return gpus
        if gpus and not self._told_of_idle_gpus:
            self._told_of_idle_gpus = True
            _log.warning(
                "this machine has GPUs, but the installed ONNX Runtime has no %s, so that models run on the CPU: "
                'pip uninstall onnxruntime, then pip install "charonia-backend-onnx[gpu]"',
                CUDA,
            )
        return ()

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Fill in what the graph tells; see `charonia.graph`."""
        if is_complete(context.config):
            return context.config
        return complete_from_graph(context, read_graph(open_for_reading(context)))

    def load(self, context: ModelContext) -> OnnxModel:
        """Open the model; its sessions are made with its instances."""
        model_file(context)
        return OnnxModel(context, self.options)


class OnnxModel(LoadedModel):
    """One version of a model: a session per device, which its instances share, since a session may run on many threads."""

    def __init__(self, context: ModelContext, settings: Mapping[str, str]) -> None:
        super().__init__(context)
        self._settings = settings
        self._lock = threading.Lock()  # guards `_sessions`
        self._sessions: dict[Device, tuple[Any, Graph]] = {}
        config = context.config
        known = (*PARAMETERS, *_PARAMETERS_OF_THE_CORE)
        warn_of_misspelt(f'model "{context.name}": parameter', config.parameters, known)
        for name in idle_accelerators(config, instances_by_device(config)):
            _log.warning(
                'model "%s": the execution accelerator "%s" has no effect, since no instance runs on a device of its kind',
                context.name,
                name,
            )

    def instantiate(self, context: InstanceContext) -> OnnxExecution:
        """Make an execution on the device's session, which is opened for its first instance."""
        device = session_device(context.device)
        with self._lock:
            if device not in self._sessions:
                self._sessions[device] = self._open(device)
            session, graph = self._sessions[device]
        arenas = shrinking_arenas(parameters_of(self.context.config, self._settings))
        return OnnxExecution(context, session, graph, arenas=arenas)

    def _open(self, device: Device) -> tuple[Any, Graph]:
        config = self.context.config
        wanted = wanted_providers(config, device, available_providers())
        options = session_options(self.context, self._settings, device)
        session = open_session(self.context, options, wanted)
        check_obtained(config, device, wanted, session.get_providers())
        graph = read_graph(session)
        check_against_graph(config, graph)
        check_passable(config)
        return session, graph

    def close(self) -> None:
        """Let the sessions go."""
        self._sessions.clear()

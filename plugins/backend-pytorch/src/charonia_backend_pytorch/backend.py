"""The backend and its models: programs of PyTorch, shared by the instances of a device."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.backend import Backend, LoadedModel
from charonia.graph import complete_from_graph, is_complete
from charonia.model_parameters import warn_of_misspelt

from charonia_backend_pytorch.execution import PyTorchExecution
from charonia_backend_pytorch.loading import load_program, model_file, read_graph
from charonia_backend_pytorch.parameters import BACKEND_SETTINGS, PARAMETERS, parameters_of, process_wide
from charonia_backend_pytorch.process_settings import PROCESS_SETTINGS
from charonia_backend_pytorch.program import Program, State
from charonia_backend_pytorch.runtime import torch, torch_device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.backend import Device, InstanceContext, ModelContext
    from charonia.config import ModelConfig

__all__ = ["PyTorchBackend", "PyTorchModel"]

_log = logging.getLogger("charonia.backend_pytorch.backend")

_SHARING = "ENABLE_WEIGHT_SHARING"
_PARAMETERS_OF_THE_CORE = ("scheduler",)


class PyTorchBackend(Backend):
    """Runs TorchScript, exported programs, packages of AOTInductor, and classes in Python.

    Args:
        options: `default-max-batch-size`, which the core reads.
    """

    default_model_filename = "model.pt"

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(options)
        warn_of_misspelt("setting of the backend pytorch", options, BACKEND_SETTINGS)
        if not torch().cuda.is_available() and Path("/dev/nvidia0").exists():
            _log.warning(
                "this machine has GPUs, but PyTorch %s cannot use them, so that models run on the CPU: install a build of "
                "PyTorch for CUDA, and see that the driver is new enough for it",
                torch().__version__,
            )

    def gpus(self) -> Sequence[int]:
        """List the GPUs that this build of PyTorch can use."""
        cuda = torch().cuda
        return range(cuda.device_count()) if cuda.is_available() else ()

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Fill in what an exported program tells; see `charonia.graph`. Other files do not tell datatypes and shapes.

        Raises:
            InferenceError: the file is missing or damaged, or the configuration contradicts it.
        """
        if is_complete(context.config):
            return context.config
        read = read_graph(context)
        if read is None:
            return context.config
        graph, most_batched = read
        default = context.default_max_batch_size
        limited = replace(
            context, default_max_batch_size=default if most_batched is None else min(default, most_batched)
        )
        return complete_from_graph(limited, graph)

    def load(self, context: ModelContext) -> PyTorchModel:
        """Find the model; its programs are loaded with its instances."""
        model_file(context)
        return PyTorchModel(context)


class PyTorchModel(LoadedModel):
    """One version of a model: a program per device, which its instances share, or one per instance.

    Instances share, unless ENABLE_WEIGHT_SHARING says otherwise, or the program keeps state and the parameter says nothing.
    """

    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        self._lock = threading.Lock()  # guards `_programs` and `_opened`
        self._programs: dict[Device, Program] = {}
        self._opened = ExitStack()
        config = context.config
        known = (*PARAMETERS, *_PARAMETERS_OF_THE_CORE)
        warn_of_misspelt(f'model "{context.name}": parameter', config.parameters, known)
        parameters = parameters_of(config)
        if parameters.flag("ENABLE_NVFUSER"):
            _log.warning(
                'model "%s": ENABLE_NVFUSER has no effect, since TorchScript has no NvFuser any more; its own fuser is used',
                context.name,
            )
        self._sharing = parameters.flag(_SHARING) if _SHARING in config.parameters else None
        wishes = process_wide(config)
        PROCESS_SETTINGS.want(context.key, wishes)
        self._opened.callback(PROCESS_SETTINGS.release, context.key, wishes)

    def instantiate(self, context: InstanceContext) -> PyTorchExecution:
        """Make an execution on the device's program, which is loaded for its first instance, or on one of its own."""
        with self._lock:
            return PyTorchExecution(context, self._program(context.device))

    def _program(self, device: Device) -> Program:
        if device in self._programs:
            return self._programs[device]
        program = load_program(self.context, torch_device(device))
        self._opened.callback(program.close)
        if self._sharing or (self._sharing is None and program.state is not State.KEPT):
            self._programs[device] = program
        return program

    def close(self) -> None:
        """Let the programs go, and the memory that PyTorch keeps on devices for later."""
        self._programs.clear()
        self._opened.close()
        if torch().cuda.is_initialized():
            torch().cuda.empty_cache()

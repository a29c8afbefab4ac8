"""The options of a session, from the model's parameters and the backend's settings, under the reference's names."""

from __future__ import annotations

import difflib
import logging
import os
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError
from charonia_protos.model_config_pb2 import ModelInstanceGroup

from charonia_backend_onnx.runtime import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.config import ModelConfig

__all__ = ["PARAMETERS", "cpu_instances", "session_options"]

_log = logging.getLogger(__name__)

PARAMETERS = (
    "intra_op_thread_count",
    "inter_op_thread_count",
    "execution_mode",
    "enable_mem_arena",
    "enable_mem_pattern",
    "memory.enable_memory_arena_shrinkage",
    "session.use_device_allocator_for_initializers",
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
)
"""The parameters of a model's configuration that mean something to this backend."""

_SHRINKAGE = "memory.enable_memory_arena_shrinkage"
_FREE_WORDS = {"scheduler"}  # a parameter of the core


def cpu_instances(config: ModelConfig) -> int:
    """Count a normalised configuration's instances on the CPU."""
    on_cpu = ModelInstanceGroup.KIND_CPU
    return sum(group.count for group in config.instance_group if group.kind == on_cpu and not group.passive)


def session_options(config: ModelConfig, settings: Mapping[str, str], model_directory: str) -> Any:
    """Make the session options of a model.

    Without a word about threads, the instances on the CPU share the cores that this process may use: they run on one session,
    whose pool gets what the instances' own threads leave.

    Raises:
        InvalidArgumentError: a parameter's value is out of range.
    """
    runtime = onnxruntime()
    _warn_of_misspelt(config)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    reader = _Reader(config, settings)
    instances = max(1, cpu_instances(config))
    cores = len(os.sched_getaffinity(0))
    options.intra_op_num_threads = reader.number("intra_op_thread_count") or max(1, cores - instances + 1)
    options.inter_op_num_threads = reader.number("inter_op_thread_count")
    if instances > 1:
        # threads that wait for work by spinning take the cores from the other instances
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    modes = runtime.ExecutionMode
    options.execution_mode = (
        modes.ORT_PARALLEL if reader.flag("execution_mode", default=False) else modes.ORT_SEQUENTIAL
    )
    options.enable_cpu_mem_arena = reader.flag("enable_mem_arena", default=True)
    options.enable_mem_pattern = reader.flag("enable_mem_pattern", default=True)
    if reader.flag("session.use_device_allocator_for_initializers", default=False):
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.graph_optimization_level = _optimization_level(config)
    for library in config.model_operations.op_library_filename:
        options.register_custom_ops_library(os.path.join(model_directory, library))  # noqa: PTH118 - keeps absolute ones
    return options


def _optimization_level(config: ModelConfig) -> Any:
    levels = onnxruntime().GraphOptimizationLevel
    by_number = {
        0: levels.ORT_ENABLE_ALL,
        -1: levels.ORT_ENABLE_BASIC,
        1: levels.ORT_ENABLE_EXTENDED,
        2: levels.ORT_DISABLE_ALL,
    }
    level = config.optimization.graph.level
    if level not in by_number:
        raise InvalidArgumentError(
            f"optimization.graph.level of model '{config.name}' is {level}: expected 0, -1, 1 or 2"
        )
    return by_number[level]


class _Reader:
    """Reads the model's parameters, and the backend's settings where the model does not say."""

    def __init__(self, config: ModelConfig, settings: Mapping[str, str]) -> None:
        self._config = config
        self._settings = settings

    def _text(self, name: str) -> tuple[str, str]:
        if name in self._config.parameters:
            return self._config.parameters[name].string_value, f"parameter '{name}' of model '{self._config.name}'"
        return self._settings.get(name, ""), f"--backend-config=onnxruntime,{name}"

    def number(self, name: str) -> int:
        """Read a whole number; 0 where nothing is said, which leaves it to ONNX Runtime."""
        text, where = self._text(name)
        if text and not text.isdecimal():
            raise InvalidArgumentError(f"{where} is '{text}': expected a whole number of 0 or more")
        return int(text or 0)

    def flag(self, name: str, *, default: bool) -> bool:
        """Read a switch."""
        text, where = self._text(name)
        words = {"": default, "0": False, "1": True, "false": False, "true": True}
        if text.lower() not in words:
            raise InvalidArgumentError(f"{where} is '{text}': expected 0 or 1")
        return words[text.lower()]


def shrinkage(config: ModelConfig) -> str:
    """Give the arenas that are to shrink after each run, as ONNX Runtime writes them: `cpu:0`; "" for none."""
    return config.parameters[_SHRINKAGE].string_value if _SHRINKAGE in config.parameters else ""


def _warn_of_misspelt(config: ModelConfig) -> None:
    """Unknown parameters are passed over, as in the reference, but one that is nearly right is told."""
    for name in config.parameters:
        if name in PARAMETERS or name in _FREE_WORDS:
            continue
        near = difflib.get_close_matches(name, PARAMETERS, n=1, cutoff=0.8)
        if near:
            _log.warning('model "%s": parameter "%s" is not known; did you mean "%s"?', config.name, name, near[0])

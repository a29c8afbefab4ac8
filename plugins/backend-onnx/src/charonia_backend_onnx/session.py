"""Sessions: their options, from the model's parameters and the backend's settings, and opening them."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError, NotFoundError

from charonia_backend_onnx.failures import load_failure
from charonia_backend_onnx.openvino_plugin import add_openvino
from charonia_backend_onnx.parameters import DEVICE_ALLOCATOR, parameters_of
from charonia_backend_onnx.providers import CPU, CUDA, OPENVINO
from charonia_backend_onnx.runtime import onnxruntime, preload_cuda, thread_pool_is_shared
from charonia_backend_onnx.threads import fair_intra_op_threads, instances_by_device, usable_cores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia.backend import Device, ModelContext
    from charonia.config import ModelConfig
    from charonia.model_parameters import ModelParameters

    from charonia_backend_onnx.providers import Provider

__all__ = ["model_file", "open_for_reading", "open_session", "session_options"]

_FATAL = 4
"""A session's failures are exceptions, so that its own log lines about them would be said twice."""


def model_file(context: ModelContext) -> Path:
    """Find the model's file, which may lie in a directory of the same name beside its external data.

    Raises:
        NotFoundError: it is not there.
    """
    path = context.model_path
    file = path / "model.onnx" if path.is_dir() else path
    if not file.is_file():
        raise NotFoundError(
            f"model '{context.name}' has no file '{file}': put the ONNX file there, or name it by default_model_filename"
        )
    return file


def session_options(context: ModelContext, settings: Mapping[str, str], device: Device) -> Any:
    """Make the options of a model's session on a device.

    Raises:
        InvalidArgumentError: a parameter's value is not allowed, or a library of custom operators cannot be used.
    """
    config = context.config
    parameters = parameters_of(config, settings)
    options = _plain_options(context)
    _set_threads(options, parameters, instances_by_device(config), device)
    modes = onnxruntime().ExecutionMode
    options.execution_mode = parameters.choice(
        "execution_mode", {"0": modes.ORT_SEQUENTIAL, "1": modes.ORT_PARALLEL}, modes.ORT_SEQUENTIAL
    )
    options.enable_cpu_mem_arena = parameters.flag("enable_mem_arena", default=True)
    options.enable_mem_pattern = parameters.flag("enable_mem_pattern", default=True)
    if parameters.flag(DEVICE_ALLOCATOR):
        options.add_session_config_entry(DEVICE_ALLOCATOR, "1")
    options.graph_optimization_level = _optimization_level(config)
    return options


def _plain_options(context: ModelContext) -> Any:
    options = onnxruntime().SessionOptions()
    options.log_severity_level = _FATAL
    options.logid = context.name
    if thread_pool_is_shared():
        options.use_per_session_threads = False
    for library in context.config.model_operations.op_library_filename:
        beside = context.directory / library  # an absolute path stays as it is
        path = str(beside) if beside.exists() else library  # else the loader of shared libraries searches
        try:
            # Held for good: ONNX Runtime unloads it with the model, and some libraries crash when they are loaded once more
            ctypes.CDLL(path)
            options.register_custom_ops_library(path)
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise InvalidArgumentError(
                f"model '{context.name}' names '{library}' in model_operations.op_library_filename, which cannot be used "
                f"({' '.join(str(error).split())}): give a library of custom operators by its path from "
                f"'{context.directory}', or by a name that the loader of shared libraries finds"
            ) from error
    return options


def _set_threads(options: Any, parameters: ModelParameters, instances: Mapping[Device, int], device: Device) -> None:
    if thread_pool_is_shared():
        return
    mine = instances.get(device, 0)
    fair = fair_intra_op_threads(mine, sum(instances.values()), usable_cores())
    options.intra_op_num_threads = parameters.number("intra_op_thread_count") or fair
    options.inter_op_num_threads = parameters.number("inter_op_thread_count") or fair  # used by execution_mode 1 alone
    if mine > 1:
        # pool threads that wait for work by spinning would take the cores from the other instances
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")


def _optimization_level(config: ModelConfig) -> Any:
    levels = onnxruntime().GraphOptimizationLevel
    by_number = {  # the numbers are the reference's
        0: levels.ORT_ENABLE_ALL,
        -1: levels.ORT_ENABLE_BASIC,
        1: levels.ORT_ENABLE_EXTENDED,
        2: levels.ORT_DISABLE_ALL,
    }
    level = config.optimization.graph.level
    if level not in by_number:
        raise InvalidArgumentError(
            f"optimization.graph.level of model '{config.name}' is {level}: expected 0 (all optimisations), -1 (basic), "
            "1 (extended) or 2 (none)"
        )
    return by_number[level]


def open_for_reading(context: ModelContext) -> Any:
    """Open a model as cheaply as possible, to read its signature."""
    options = _plain_options(context)
    options.graph_optimization_level = onnxruntime().GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return open_session(context, options, [(CPU, {})])


def open_session(context: ModelContext, options: Any, providers: Sequence[Provider]) -> Any:
    """Open a session. It does not fall back to other providers when one of these fails, now or later.

    Raises:
        InferenceError: the file is missing, damaged or beyond this ONNX Runtime, or a provider cannot be used.
    """
    runtime = onnxruntime()
    file = model_file(context)
    built_in = runtime.get_available_providers()
    chosen: dict[str, Any] = {"providers": list(providers)}
    for name, parameters in providers:
        if name == CUDA and name in built_in:
            preload_cuda()
        if name == OPENVINO and name not in built_in:  # not part of this build, but a plugin of it
            add_openvino(options, parameters)
            chosen = {}
    try:
        return runtime.InferenceSession(str(file), options, enable_fallback=0, **chosen)
    except Exception as error:  # the border of loading: ONNX Runtime's exceptions have no base of their own
        raise load_failure(file, [name for name, _ in providers], error) from error

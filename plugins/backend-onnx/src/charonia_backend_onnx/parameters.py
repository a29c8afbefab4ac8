"""The model's `parameters` and the backend's settings: what they may be, and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.model_parameters import ModelParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.config import ModelConfig

__all__ = ["BACKEND_SETTINGS", "PARAMETERS", "parameters_of", "shrinking_arenas"]

SHRINKAGE = "memory.enable_memory_arena_shrinkage"
DEVICE_ALLOCATOR = "session.use_device_allocator_for_initializers"

PARAMETERS = (
    "intra_op_thread_count",
    "inter_op_thread_count",
    "execution_mode",
    "enable_mem_arena",
    "enable_mem_pattern",
    SHRINKAGE,
    DEVICE_ALLOCATOR,
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
)
"""The parameters of a model's configuration that mean something to this backend."""

BACKEND_SETTINGS = (
    "default-max-batch-size",
    "enable-global-threadpool",
    "intra_op_thread_count",
    "inter_op_thread_count",
)
"""The settings of `--backend-config=onnxruntime,NAME=VALUE`."""

_ARENAS = r"(cpu|gpu):\d+(;(cpu|gpu):\d+)*"


def parameters_of(config: ModelConfig | None, settings: Mapping[str, str]) -> ModelParameters:
    """Give the parameters of a model, with the backend's settings behind them; those alone where there is no model."""
    known = {name: value for name, value in settings.items() if name in BACKEND_SETTINGS}
    return ModelParameters("onnxruntime", config, known)


def shrinking_arenas(parameters: ModelParameters) -> str:
    """Read which arenas are to shrink after each run, as ONNX Runtime writes them: `cpu:0;gpu:1`; "" for none."""
    return parameters.text(SHRINKAGE, _ARENAS, allowed="arenas such as cpu:0 or cpu:0;gpu:0")

"""The model's `parameters`: the reference's names, and what they may be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError
from charonia.model_parameters import ModelParameters

if TYPE_CHECKING:
    from charonia.config import ModelConfig

__all__ = ["BACKEND_SETTINGS", "PARAMETERS", "compile_options", "parameters_of", "process_wide"]

COMPILE = "TORCH_COMPILE_OPTIONAL_PARAMETERS"

PARAMETERS = (
    "DISABLE_OPTIMIZED_EXECUTION",
    "INFERENCE_MODE",
    "DISABLE_CUDNN",
    "ENABLE_NVFUSER",
    "ENABLE_TENSOR_FUSER",
    "ENABLE_JIT_EXECUTOR",
    "ENABLE_JIT_PROFILING",
    "ENABLE_WEIGHT_SHARING",
    "ENABLE_CACHE_CLEANING",
    "INTRA_OP_THREAD_COUNT",
    "INTER_OP_THREAD_COUNT",
    "NUM_THREADS",
    "NUM_INTEROP_THREADS",
    COMPILE,
)
"""The parameters of a model's configuration that mean something to this backend."""

BACKEND_SETTINGS = ("default-max-batch-size",)
"""The settings of `--backend-config=pytorch,NAME=VALUE`; the core reads this one."""

_PROCESS_FLAGS = ("DISABLE_CUDNN", "ENABLE_TENSOR_FUSER", "ENABLE_JIT_EXECUTOR", "ENABLE_JIT_PROFILING")
_PROCESS_NUMBERS = {
    "INTRA_OP_THREAD_COUNT": "INTRA_OP_THREAD_COUNT",
    "NUM_THREADS": "INTRA_OP_THREAD_COUNT",
    "INTER_OP_THREAD_COUNT": "INTER_OP_THREAD_COUNT",
    "NUM_INTEROP_THREADS": "INTER_OP_THREAD_COUNT",
}
"""Name → the setting that it is another name for."""


def parameters_of(config: ModelConfig) -> ModelParameters:
    """Give the parameters of a model."""
    return ModelParameters("pytorch", config)


def process_wide(config: ModelConfig) -> dict[str, int]:
    """Read the model's wishes for what PyTorch has only once in a process: setting → value; switches are 0 or 1.

    Raises:
        InvalidArgumentError: a value is not allowed.
    """
    parameters = parameters_of(config)
    wishes = {name: int(parameters.flag(name)) for name in _PROCESS_FLAGS if name in config.parameters}
    for name, setting in _PROCESS_NUMBERS.items():
        count = parameters.number(name)
        if count:
            wishes[setting] = count
    return wishes


def compile_options(config: ModelConfig) -> dict[str, Any] | None:
    """Read the options with which a class model shall be compiled; None where nothing is said, and it is not.

    Raises:
        InvalidArgumentError: they are no JSON object, or name the model itself.
    """
    text = parameters_of(config).text(COMPILE)
    if not text:
        return None
    try:
        options = json.loads(text)
    except ValueError as error:
        raise _refusal(config, text, f" ({error})") from error
    if not isinstance(options, dict) or "model" in options:
        raise _refusal(config, text)
    return options


def _refusal(config: ModelConfig, found: str, why: str = "") -> InvalidArgumentError:
    return InvalidArgumentError(
        f"parameter '{COMPILE}' of model '{config.name}' is '{found}': expected a JSON object with options of torch.compile, "
        f'such as {{"dynamic": true}}{why}'
    )

"""Execution accelerators: what `optimization.execution_accelerators` asks of TensorFlow's rewriting of graphs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError, UnsupportedError

from charonia_backend_tensorflow.runtime import tensorflow

if TYPE_CHECKING:
    from charonia.config import ModelConfig

__all__ = ["accelerate", "check_accelerators"]

_log = logging.getLogger("charonia.backend_tensorflow.accelerators")

_TENSORRT = "tensorrt"
_MIXED_PRECISION = "auto_mixed_precision"
_GPU_IO = "gpu_io"
_NAMES = (_TENSORRT, _MIXED_PRECISION, _GPU_IO)

_PRECISIONS = ("FP32", "FP16", "INT8")
_NUMBERS = {
    "max_cached_engines": ("maximum_cached_engines", 100),
    "minimum_segment_size": ("minimum_segment_size", 3),
    "max_workspace_size_bytes": ("max_workspace_size_bytes", 1 << 30),
}
"""A parameter of the reference → TensorFlow's own name of it, and its value where nothing is said, which is the reference's."""


def check_accelerators(config: ModelConfig, *, tensorrt: bool) -> None:
    """Check what a model asks for, when it loads.

    Args:
        config: the model's configuration.
        tensorrt: whether the installed TensorFlow was built with TensorRT.

    Raises:
        InvalidArgumentError: an accelerator is unknown, has an unknown parameter or one with a wrong value, or two of them
            exclude each other.
        UnsupportedError: the installed TensorFlow does not have it.
    """
    accelerators = config.optimization.execution_accelerators
    if accelerators.cpu_execution_accelerator:
        raise InvalidArgumentError(
            f"model '{config.name}' asks for the CPU Execution Accelerator '{accelerators.cpu_execution_accelerator[0].name}': "
            "CPU Execution Accelerator is not supported in TensorFlow backend; remove cpu_execution_accelerator"
        )
    by_name = {each.name: each.parameters for each in accelerators.gpu_execution_accelerator}
    for name in by_name:
        if name not in _NAMES:
            raise InvalidArgumentError(
                f"unknown Execution Accelerator '{name}' is requested by model '{config.name}'; known: {', '.join(_NAMES)}"
            )
    if _TENSORRT in by_name:
        _tensorrt_parameters(by_name[_TENSORRT])
        if _MIXED_PRECISION in by_name:
            raise InvalidArgumentError(
                f"model '{config.name}': Auto mixed precision can not be set with TFTRT optimization; remove one of them"
            )
        if not tensorrt:
            raise UnsupportedError(
                f"model '{config.name}' asks for the Execution Accelerator 'tensorrt', which the installed TensorFlow "
                f"{tensorflow().__version__} lacks, as all builds since 2.18 do: remove it, or serve the model by the backend "
                "onnxruntime, converted to ONNX, which has this accelerator as well"
            )
    if _GPU_IO in by_name:
        _log.warning(
            'model "%s": the execution accelerator "gpu_io" has no effect, since inputs and outputs pass through the memory of '
            "the CPU",
            config.name,
        )


def accelerate(config: ModelConfig, rewriting: Any) -> None:
    """Write what a model asks for into the rewriting of graphs on a GPU.

    Args:
        config: the model's configuration, checked.
        rewriting: TensorFlow's `RewriterConfig` of a session.
    """
    for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
        if accelerator.name == _MIXED_PRECISION:
            rewriting.auto_mixed_precision = rewriting.ON
        elif accelerator.name == _TENSORRT:
            precision, numbers = _tensorrt_parameters(accelerator.parameters)
            rewriting.optimizers.extend(["constfold", "layout"])
            optimizer = rewriting.custom_optimizers.add(name="TensorRTOptimizer")
            optimizer.parameter_map["precision_mode"].s = precision.encode()
            optimizer.parameter_map["is_dynamic_op"].b = True
            optimizer.parameter_map["use_calibration"].b = False
            for name, number in numbers.items():
                optimizer.parameter_map[name].i = number


def _tensorrt_parameters(written: Any) -> tuple[str, dict[str, int]]:
    """Read the parameters of TensorRT: the precision, and numbers by TensorFlow's own names."""
    precision = "FP32"
    numbers = dict(_NUMBERS.values())
    for key, value in written.items():
        if key == "precision_mode":
            if value not in _PRECISIONS:
                raise InvalidArgumentError(
                    f"unsupported precision mode '{value}' is requested; known: {', '.join(_PRECISIONS)}"
                )
            precision = value
        elif key in _NUMBERS:
            if not (value.isascii() and value.isdecimal()):
                raise InvalidArgumentError(
                    f"parameter '{key}' of the TensorRT Execution Accelerator is '{value}': expected a whole number"
                )
            numbers[_NUMBERS[key][0]] = int(value)
        else:
            raise InvalidArgumentError(
                f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator; known: precision_mode, "
                f"{', '.join(_NUMBERS)}"
            )
    return precision, numbers

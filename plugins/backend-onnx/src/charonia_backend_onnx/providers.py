"""Execution providers: which ones an instance wants, and whether it got them.

Accelerators are named as in the reference: `tensorrt` and `cuda` for instances on GPUs, `openvino` for instances on the CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from charonia.errors import InvalidArgumentError, UnavailableError

from charonia_backend_onnx.runtime import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from charonia.backend import Device
    from charonia.config import ModelConfig

__all__ = ["CPU", "CUDA", "OPENVINO", "TENSORRT", "Provider", "check_obtained", "usable_gpus", "wanted_providers"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

Provider: TypeAlias = tuple[str, dict[str, str]]
"""A provider's name with its options."""

_INSTALL = {
    CUDA: 'pip install "charonia-backend-onnx[gpu]" in place of the CPU build',
    TENSORRT: 'pip install "charonia-backend-onnx[gpu]" and TensorRT',
    OPENVINO: "pip install onnxruntime-openvino in place of onnxruntime",
}
_CUDA_PARAMETERS = {
    "cudnn_conv_algo_search": {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "gpu_mem_limit": {},
    "arena_extend_strategy": {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
    "do_copy_in_default_stream": {},
}


def usable_gpus(available: Sequence[str]) -> list[int]:
    """List the GPUs that this build of ONNX Runtime can use: none if it lacks CUDA, else those that the driver shows."""
    if CUDA not in available:
        return []
    return sorted(int(path.name.removeprefix("nvidia")) for path in Path("/dev").glob("nvidia[0-9]*"))


def wanted_providers(config: ModelConfig, device: Device, available: Sequence[str]) -> list[Provider]:
    """List the providers that an instance wants, the most wanted first; the CPU is always the last.

    Raises:
        InvalidArgumentError: an accelerator is unknown, has a parameter that it does not know, or needs a provider that this
            build lacks.
    """
    accelerators = config.optimization.execution_accelerators
    providers: list[Provider] = []
    if device.kind == "GPU":
        known = {"tensorrt": _tensorrt, "cuda": _cuda}
        providers += [_accelerated(each, known, device) for each in accelerators.gpu_execution_accelerator]
        if not any(name == CUDA for name, _ in providers):
            providers.append((CUDA, {"device_id": str(device.id)}))
        for name, options in providers:
            if name == CUDA:
                options.update(_cuda_parameters(config))
    else:
        known = {"openvino": _openvino}
        providers += [_accelerated(each, known, device) for each in accelerators.cpu_execution_accelerator]
    for name, _ in providers:
        if name not in available:
            raise InvalidArgumentError(
                f"model '{config.name}' wants {name} for its instances on {device}, which this build of ONNX Runtime "
                f"{onnxruntime().__version__} lacks (it has {', '.join(available)}): {_INSTALL[name]}"
            )
    return [*providers, (CPU, {})]


def _accelerated(accelerator: Any, known: Mapping[str, Callable[[Any, Device], Provider]], device: Device) -> Provider:
    make = known.get(accelerator.name)
    if make is None:
        raise InvalidArgumentError(
            f"unknown Execution Accelerator '{accelerator.name}' is requested for an instance on {device}; known: "
            f"{', '.join(known)}"
        )
    return make(accelerator, device)


def _tensorrt(accelerator: Any, device: Device) -> Provider:
    options = {"device_id": str(device.id)}
    for key, value in accelerator.parameters.items():
        if key == "precision_mode":
            options |= _precision(value)
        elif key == "max_workspace_size_bytes":
            options["trt_max_workspace_size"] = value
        elif key == "int8_calibration_table_name":
            options["trt_int8_calibration_table_name"] = value
        elif key == "int8_use_native_calibration_table":
            options["trt_int8_use_native_calibration_table"] = value
        elif key.startswith("trt_"):
            options[key] = value
        else:
            raise InvalidArgumentError(f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator")
    return TENSORRT, options


def _precision(mode: str) -> dict[str, str]:
    flags = {
        "FP32": {},
        "FP16": {"trt_fp16_enable": "1"},
        "BF16": {"trt_bf16_enable": "1"},
        "INT8": {"trt_int8_enable": "1"},
    }
    if mode not in flags:
        raise InvalidArgumentError(f"unsupported precision mode '{mode}' is requested; known: {', '.join(flags)}")
    return flags[mode]


def _cuda(accelerator: Any, device: Device) -> Provider:
    return CUDA, {"device_id": str(device.id), **accelerator.parameters}


def _openvino(accelerator: Any, device: Device) -> Provider:
    return OPENVINO, {"device_type": str(device.kind), **accelerator.parameters}


def _cuda_parameters(config: ModelConfig) -> dict[str, str]:
    """Read CUDA's options from the model's parameters, the older place for them."""
    options = {}
    for key, words in _CUDA_PARAMETERS.items():
        if key in config.parameters:
            value = config.parameters[key].string_value
            options[key] = words.get(value, value)
    return options


def check_obtained(config: ModelConfig, device: Device, wanted: Sequence[Provider], obtained: Sequence[str]) -> None:
    """Refuse a session that silently became another one than was asked for.

    ONNX Runtime falls back to the CPU, with no more than a line in its log, where a provider's libraries or device are missing.

    Raises:
        UnavailableError: a provider that was wanted is not there.
    """
    for name, _ in wanted:
        if name not in obtained:
            raise UnavailableError(
                f"model '{config.name}' wants {name} for its instances on {device}, but ONNX Runtime silently fell back to "
                f"{', '.join(obtained)}: check that the driver, the device and the provider's libraries are there, or ask for "
                "KIND_CPU"
            )

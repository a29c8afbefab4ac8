"""Execution providers: which ones an instance wants, and whether it got them.

Accelerators are named as in the reference: `tensorrt` and `cuda` for instances on GPUs, `openvino` for instances on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from charonia.errors import InvalidArgumentError, UnavailableError

from charonia_backend_onnx.openvino_plugin import PACKAGE, openvino_plugin_is_installed
from charonia_backend_onnx.parameters import parameters_of
from charonia_backend_onnx.runtime import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from charonia.backend import Device
    from charonia.config import ModelConfig
    from charonia.model_parameters import ModelParameters

__all__ = [
    "CPU",
    "CUDA",
    "OPENVINO",
    "TENSORRT",
    "Provider",
    "available_providers",
    "check_obtained",
    "idle_accelerators",
    "wanted_providers",
]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

Provider: TypeAlias = tuple[str, dict[str, str]]
"""A provider's name with its options."""

_INSTALL = {
    CUDA: 'pip uninstall onnxruntime, then pip install "charonia-backend-onnx[gpu]"',
    TENSORRT: 'pip uninstall onnxruntime, then pip install "charonia-backend-onnx[gpu]", and TensorRT',
    OPENVINO: f"pip install {PACKAGE}",
}
_PRECISIONS = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "1"},
    "BF16": {"trt_bf16_enable": "1"},
    "INT8": {"trt_int8_enable": "1"},
}
_TENSORRT_OPTIONS = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}


def available_providers() -> list[str]:
    """List the providers that this build of ONNX Runtime has, and those of installed plugins of it."""
    built_in: list[str] = onnxruntime().get_available_providers()
    extra = [OPENVINO] if OPENVINO not in built_in and openvino_plugin_is_installed() else []
    return [*built_in, *extra]


def wanted_providers(config: ModelConfig, device: Device, available: Sequence[str]) -> list[Provider]:
    """List the providers that an instance wants, the most wanted first; the CPU is always the last.

    Raises:
        InvalidArgumentError: an accelerator is unknown or has a parameter that it does not know, a parameter of CUDA has a
            value that is not allowed, or a provider is not among the available ones.
    """
    accelerators = config.optimization.execution_accelerators
    cuda_options = _cuda_parameters(parameters_of(config, {}))
    providers: list[Provider] = []
    if device.kind == "GPU":
        known = {"tensorrt": _tensorrt, "cuda": _cuda}
        providers += [_accelerated(each, known, device) for each in accelerators.gpu_execution_accelerator]
        if not any(name == CUDA for name, _ in providers):
            providers.append((CUDA, {"device_id": str(device.id)}))
        for name, options in providers:
            if name == CUDA:
                options.update(cuda_options)
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
            if value not in _PRECISIONS:
                raise InvalidArgumentError(
                    f"unsupported precision mode '{value}' is requested; known: {', '.join(_PRECISIONS)}"
                )
            options |= _PRECISIONS[value]
        elif key in _TENSORRT_OPTIONS:
            options[_TENSORRT_OPTIONS[key]] = value
        elif key.startswith("trt_"):
            options[key] = value
        else:
            raise InvalidArgumentError(
                f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator; known: precision_mode, "
                f"{', '.join(_TENSORRT_OPTIONS)}, and the provider's own options trt_*"
            )
    return TENSORRT, options


def _cuda(accelerator: Any, device: Device) -> Provider:
    return CUDA, {"device_id": str(device.id), **accelerator.parameters}


def _openvino(accelerator: Any, device: Device) -> Provider:
    return OPENVINO, {"device_type": device.kind, **accelerator.parameters}


def _cuda_parameters(parameters: ModelParameters) -> dict[str, str]:
    """Read CUDA's options from the model's parameters, the older place for them."""
    limit = parameters.number("gpu_mem_limit")
    options = {
        "cudnn_conv_algo_search": parameters.choice(
            "cudnn_conv_algo_search", {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"}, ""
        ),
        "gpu_mem_limit": str(limit) if limit else "",
        "arena_extend_strategy": parameters.choice(
            "arena_extend_strategy", {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"}, ""
        ),
        "do_copy_in_default_stream": parameters.choice("do_copy_in_default_stream", {"0": "0", "1": "1"}, ""),
    }
    return {name: value for name, value in options.items() if value}


def idle_accelerators(config: ModelConfig, devices: Iterable[Device]) -> list[str]:
    """List the accelerators that no instance uses, since none runs on a device of their kind."""
    kinds = {device.kind for device in devices}
    accelerators = config.optimization.execution_accelerators
    idle = [] if "GPU" in kinds else [each.name for each in accelerators.gpu_execution_accelerator]
    return idle if "CPU" in kinds else [*idle, *(each.name for each in accelerators.cpu_execution_accelerator)]


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
                f"{', '.join(obtained)}; its line in the log has the cause: check that the driver, the device and the "
                "provider's libraries are there, or ask for KIND_CPU"
            )

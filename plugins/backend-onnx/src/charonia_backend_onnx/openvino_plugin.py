"""OpenVINO as a plugin of ONNX Runtime: the package onnxruntime-ep-openvino, which lives beside the ordinary build."""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any

from charonia.errors import UnavailableError

from charonia_backend_onnx.runtime import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PACKAGE", "add_openvino", "openvino_plugin_is_installed"]

PACKAGE = "onnxruntime-ep-openvino"
_MODULE = "onnxruntime_ep_openvino"


def openvino_plugin_is_installed() -> bool:
    """Tell whether the plugin's package is there; it is not imported."""
    return importlib.util.find_spec(_MODULE) is not None


@functools.cache
def _registered_name() -> str:
    """Register the plugin with ONNX Runtime, which takes it once per process, and give its provider's name."""
    plugin = importlib.import_module(_MODULE)
    name: str = plugin.get_ep_name()
    onnxruntime().register_execution_provider_library(name, plugin.get_library_path())
    return name


def add_openvino(options: Any, parameters: Mapping[str, str]) -> None:
    """Add the plugin's provider for the CPU to the options of a session.

    Args:
        options: changed.
        parameters: the provider's own options, and `device_type`, which the devices decide here.

    Raises:
        UnavailableError: the plugin cannot be loaded, or has nothing for this machine's CPU.
    """
    runtime = onnxruntime()
    try:
        name = _registered_name()
    except Exception as error:  # a package of a third party, which may fail to import in any way
        raise UnavailableError(
            f"{PACKAGE} is installed, but cannot be loaded into ONNX Runtime {runtime.__version__} ({error}): install versions "
            "of the two that fit each other"
        ) from error
    cpu = runtime.OrtHardwareDeviceType.CPU
    devices = [each for each in runtime.get_ep_devices() if each.ep_name == name and each.device.type == cpu]
    if not devices:
        vendors = sorted({each.device.vendor for each in runtime.get_ep_devices() if each.device.type == cpu})
        raise UnavailableError(
            f"{PACKAGE} offers {name} for none of this machine's CPUs ({', '.join(vendors)}): take the accelerator out of the "
            "model's configuration, or use onnxruntime-openvino in place of onnxruntime"
        )
    options.add_provider_for_devices(
        devices[:1], {key: value for key, value in parameters.items() if key != "device_type"}
    )

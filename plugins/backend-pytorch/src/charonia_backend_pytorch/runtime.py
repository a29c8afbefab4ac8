"""PyTorch itself: the module, what its release has, and its devices."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any

from charonia.errors import PluginError, UnsupportedError

if TYPE_CHECKING:
    from charonia.backend import Device

__all__ = ["needed", "quiet_torchscript", "torch", "torch_device"]


@functools.cache
def torch() -> Any:
    """Import PyTorch.

    Raises:
        PluginError: it is not installed, or does not work.
    """
    try:
        import torch as module
    except (ImportError, OSError) as error:  # OSError: one of its libraries cannot be loaded
        raise PluginError(f"PyTorch cannot be imported ({error}): pip install torch") from error
    return module


def needed(path: str, what: str, remedy: str) -> Any:
    """Give something of PyTorch that not every release has.

    Args:
        path: where it is, such as `jit.load`.
        what: what it is for, for the error's text.
        remedy: what to do where it is missing.

    Raises:
        UnsupportedError: this release does not have it.
    """
    found = torch()
    for name in path.split("."):
        found = getattr(found, name, None)
        if found is None:
            raise UnsupportedError(f"PyTorch {torch().__version__} has no torch.{path}, and so no {what}: {remedy}")
    return found


def quiet_torchscript() -> None:
    """Keep PyTorch from saying at each load that TorchScript is deprecated: whoever serves a model cannot change that.

    Only these warnings are filtered, and doing it again changes nothing.
    """
    warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)


def torch_device(device: Device) -> Any:
    """Give PyTorch's device for that of an instance; None where the model itself decides."""
    if device.kind == "MODEL":
        return None
    return torch().device("cuda", device.id) if device.kind == "GPU" else torch().device("cpu")

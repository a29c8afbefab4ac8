"""ONNX Runtime itself: the module, whichever build of it is installed."""

from __future__ import annotations

import functools
from typing import Any

from charonia.errors import PluginError

__all__ = ["onnxruntime"]


@functools.cache
def onnxruntime() -> Any:
    """Import ONNX Runtime.

    Raises:
        PluginError: no build of it is installed, or the one that is does not work.
    """
    try:
        import onnxruntime as module
    except ImportError as error:
        raise PluginError(
            f"ONNX Runtime cannot be imported ({error}): "
            'pip install "charonia-backend-onnx[cpu]", or "charonia-backend-onnx[gpu]" for CUDA; only one of the two builds'
        ) from error
    module.set_default_logger_severity(3)  # errors; what it warns about is not the server's news
    return module

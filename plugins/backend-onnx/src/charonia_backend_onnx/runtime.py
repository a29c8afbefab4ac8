"""ONNX Runtime itself: the module, whichever build of it is installed, its log and its process-wide threads."""

from __future__ import annotations

import functools
import logging
from typing import Any

from charonia.errors import InvalidArgumentError, PluginError

__all__ = ["onnxruntime", "preload_cuda", "share_thread_pool", "thread_pool_is_shared"]

_log = logging.getLogger("charonia.backend_onnx.runtime")

_ERROR = 3
"""ONNX Runtime's own number of its level for errors; what it merely warns about is not the server's news."""


@functools.cache
def onnxruntime() -> Any:
    """Import ONNX Runtime, and lead its log into Python's where the release can do that (1.32 and later).

    Raises:
        PluginError: no build of it is installed, or the one that is does not work.
    """
    try:
        import onnxruntime as module

        severity, callback = module.set_default_logger_severity, getattr(module, "set_default_logger_callback", None)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"ONNX Runtime cannot be imported ({error}): "
            'pip install "charonia-backend-onnx[cpu]", or "charonia-backend-onnx[gpu]" for CUDA; only one of the two builds, '
            "since they overwrite each other"
        ) from error
    severity(_ERROR)
    if callback is not None:
        callback(_take_log_line, _ERROR)
    return module


@functools.cache
def preload_cuda() -> None:
    """Load CUDA's and cuDNN's libraries from their own packages, where these are installed; ONNX Runtime looks elsewhere."""
    preload = getattr(onnxruntime(), "preload_dlls", None)
    if preload is not None:
        preload()


def _take_log_line(severity: int, _category: str, log_id: str, _place: str, message: str) -> None:
    """Pass on a line of ONNX Runtime's log. `log_id` is the model's name where a session speaks."""
    level = logging.ERROR if severity >= _ERROR else logging.WARNING
    _log.log(level, "ONNX Runtime%s: %s", f' (model "{log_id}")' if log_id else "", " ".join(message.split()))


@functools.cache
def share_thread_pool(intra_op: int, inter_op: int) -> None:
    """Make the one pair of thread pools that all sessions of this process use from now on.

    ONNX Runtime makes them once in the life of a process. Asking again for the same sizes changes nothing.

    Raises:
        InvalidArgumentError: the process has them already, in other sizes.
    """
    try:
        onnxruntime().set_global_thread_pool_sizes(intra_op, inter_op)
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise InvalidArgumentError(
            f"--backend-config=onnxruntime,enable-global-threadpool asks for {intra_op} intra-op and {inter_op} inter-op "
            "threads, but this process has global thread pools of another size already, which ONNX Runtime cannot replace: "
            "use one size in all servers of a process"
        ) from error


def thread_pool_is_shared() -> bool:
    """Tell whether this process has global thread pools; then ONNX Runtime refuses sessions that want pools of their own."""
    return share_thread_pool.cache_info().currsize > 0

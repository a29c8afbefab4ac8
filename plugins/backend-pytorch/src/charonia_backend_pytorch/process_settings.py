"""What PyTorch has only once in a process, and which models want it how.

The reference lets the first model that speaks decide about thread counts. So it is here, for all that is process-wide: while a
model that has spoken is loaded, another one that wants something else is told in the log that it does not get it.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError

from charonia_backend_pytorch.runtime import needed, torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["PROCESS_SETTINGS", "ProcessSettings"]

_log = logging.getLogger("charonia.backend_pytorch.process_settings")

_UPGRADE = "remove the parameter, or install another PyTorch"


def _set_intra_op_threads(count: int) -> None:
    torch().set_num_threads(count)


def _set_inter_op_threads(count: int) -> None:
    if torch().get_num_interop_threads() == count:
        return
    try:
        torch().set_num_interop_threads(count)
    except RuntimeError:
        _log.warning(
            "INTER_OP_THREAD_COUNT stays %d, not %d: PyTorch takes it once in a process, before its first parallel work",
            torch().get_num_interop_threads(),
            count,
        )


def _set_cudnn_disabled(value: int) -> None:
    torch().backends.cudnn.enabled = not value


def _jit_switch(name: str) -> Callable[[int], None]:
    def switch(value: int) -> None:
        needed(f"_C.{name}", "such switch of TorchScript", _UPGRADE)(bool(value))

    return switch


_SET: Mapping[str, Callable[[int], None]] = {
    "INTRA_OP_THREAD_COUNT": _set_intra_op_threads,
    "INTER_OP_THREAD_COUNT": _set_inter_op_threads,
    "DISABLE_CUDNN": _set_cudnn_disabled,
    "ENABLE_TENSOR_FUSER": _jit_switch("_jit_set_texpr_fuser_enabled"),
    "ENABLE_JIT_EXECUTOR": _jit_switch("_jit_set_profiling_executor"),
    "ENABLE_JIT_PROFILING": _jit_switch("_jit_set_profiling_mode"),
}


class ProcessSettings:
    """Keeps who has set what. One for the process, as PyTorch is; any thread may call it.

    Args:
        setters: setting → what makes it so; PyTorch's own if not given.
    """

    def __init__(self, setters: Mapping[str, Callable[[int], None]] = _SET) -> None:
        self._setters = setters
        self._lock = threading.Lock()  # guards `_held`
        self._held: dict[str, tuple[int, list[str]]] = {}  # setting → its value, and the models that want it so

    def want(self, model: str, wishes: Mapping[str, int]) -> None:
        """Set what a model wishes, unless another model that is loaded has it otherwise. `release` gives it up.

        A new version of a model may change what the old one alone has set.

        Raises:
            UnsupportedError: this PyTorch has no such setting.
            InvalidArgumentError: it refuses the value.
        """
        with self._lock, ExitStack() as undo:
            for setting, value in wishes.items():
                self._want(model, setting, value)
                undo.callback(self._release, model, setting)
            undo.pop_all()

    def _want(self, model: str, setting: str, value: int) -> None:
        held, holders = self._held.get(setting, (value, []))
        others = sorted({holder for holder in holders if holder != model})
        if held != value and others:
            _log.warning(
                'model "%s" wants %s to be %d, but PyTorch has it once in a process, and it is %d for the model "%s": give both '
                "the same value",
                model,
                setting,
                value,
                held,
                '", "'.join(others),
            )
            value = held
        else:
            self._set(setting, value)
        self._held[setting] = value, [*holders, model]

    def _set(self, setting: str, value: int) -> None:
        try:
            self._setters[setting](value)
        except RuntimeError as error:
            raise InvalidArgumentError(f"PyTorch refuses {setting} {value}: {error}") from error

    def release(self, model: str, wishes: Mapping[str, int]) -> None:
        """Give up what a model has wished. The value stays until somebody wants another one."""
        with self._lock:
            for setting in wishes:
                self._release(model, setting)

    def _release(self, model: str, setting: str) -> None:
        _, holders = self._held[setting]
        holders.remove(model)
        if not holders:
            del self._held[setting]


PROCESS_SETTINGS = ProcessSettings()
"""Those of this process."""

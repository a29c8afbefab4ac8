"""The model's `parameters` and the backend's settings: what they may be, and reading them."""

from __future__ import annotations

import difflib
import logging
import re
from typing import TYPE_CHECKING, TypeVar

from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from charonia.config import ModelConfig

__all__ = ["BACKEND_SETTINGS", "PARAMETERS", "Parameters", "warn_of_misspelt"]

_log = logging.getLogger(__name__)

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

_ARENAS = re.compile(r"(cpu|gpu):\d+(;(cpu|gpu):\d+)*")
_FLAG = {"0": False, "1": True, "false": False, "true": True}

_Value = TypeVar("_Value")


class Parameters:
    """Reads the parameters of a model, and the backend's settings where the model does not say.

    Every method raises an InvalidArgumentError that names the parameter, what was found and what is allowed.

    Args:
        config: the model's configuration; None where there is no model, and the backend's settings alone count.
        settings: the backend's settings.
    """

    def __init__(self, config: ModelConfig | None, settings: Mapping[str, str]) -> None:
        self._model = "" if config is None else config.name
        self._own = {} if config is None else {key: value.string_value for key, value in config.parameters.items()}
        self._settings = settings

    def number(self, name: str) -> int:
        """Read a whole number; 0 where nothing is said."""
        text = self._text(name)
        if text and not (text.isascii() and text.isdecimal()):
            raise self._refusal(name, text, "a whole number of 0 or more")
        return int(text or 0)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read a switch."""
        return self.choice(name, _FLAG, default, allowed="0 or 1")

    def choice(self, name: str, words: Mapping[str, _Value], default: _Value, *, allowed: str = "") -> _Value:
        """Read one of a few words, and give what it stands for."""
        text = self._text(name).lower()
        if not text:
            return default
        if text not in words:
            raise self._refusal(name, text, allowed or f"one of {', '.join(words)}")
        return words[text]

    def shrinking_arenas(self) -> str:
        """Read which arenas are to shrink after each run, as ONNX Runtime writes them: `cpu:0;gpu:1`; "" for none."""
        text = self._text(SHRINKAGE)
        if text and not _ARENAS.fullmatch(text):
            raise self._refusal(SHRINKAGE, text, "arenas such as cpu:0 or cpu:0;gpu:0")
        return text

    def _text(self, name: str) -> str:
        if name in self._own:
            return self._own[name]
        return self._settings.get(name, "") if name in BACKEND_SETTINGS else ""

    def _refusal(self, name: str, found: str, allowed: str) -> InvalidArgumentError:
        where = (
            f"parameter '{name}' of model '{self._model}'"
            if name in self._own
            else f"--backend-config=onnxruntime,{name}"
        )
        return InvalidArgumentError(f"{where} is '{found}': expected {allowed}")


def warn_of_misspelt(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Unknown names are passed over, as in the reference, but one that is nearly right is told in the log."""
    known = tuple(known)
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if near:
            _log.warning('%s "%s" is not known; did you mean "%s"?', what, name, near[0])

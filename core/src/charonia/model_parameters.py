"""The `parameters` of a model's configuration, and the settings of its backend, as a backend reads them."""

from __future__ import annotations

import difflib
import logging
import re
from typing import TYPE_CHECKING, TypeVar

from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from charonia.config import ModelConfig

__all__ = ["ModelParameters", "warn_of_misspelt"]

_log = logging.getLogger(__name__)

_FLAG = {"0": False, "1": True, "false": False, "true": True}
_NOTHING: Mapping[str, str] = {}

_Value = TypeVar("_Value")


class ModelParameters:
    """Reads the parameters of a model, and the backend's settings where the model does not say.

    Every method raises an InvalidArgumentError that names the parameter, what was found and what is allowed.

    Args:
        backend: the backend's name.
        config: the model's configuration; None where there is no model, and the backend's settings alone count.
        settings: those settings of the backend that stand in where a model does not say.
    """

    def __init__(self, backend: str, config: ModelConfig | None, settings: Mapping[str, str] = _NOTHING) -> None:
        self._backend = backend
        self._model = "" if config is None else config.name
        self._own = {} if config is None else {key: value.string_value for key, value in config.parameters.items()}
        self._settings = settings

    def number(self, name: str) -> int:
        """Read a whole number; 0 where nothing is said."""
        text = self._found(name)
        if text and not (text.isascii() and text.isdecimal()):
            raise self._refusal(name, text, "a whole number of 0 or more")
        return int(text or 0)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read a switch."""
        return self.choice(name, _FLAG, default, allowed="0 or 1")

    def choice(self, name: str, words: Mapping[str, _Value], default: _Value, *, allowed: str = "") -> _Value:
        """Read one of a few words, and give what it stands for."""
        text = self._found(name).lower()
        if not text:
            return default
        if text not in words:
            raise self._refusal(name, text, allowed or f"one of {', '.join(words)}")
        return words[text]

    def text(self, name: str, pattern: str = ".*", *, allowed: str = "a line of text") -> str:
        """Read a text that matches a pattern as a whole, which `allowed` describes; "" where nothing is said."""
        text = self._found(name)
        if text and not re.fullmatch(pattern, text):
            raise self._refusal(name, text, allowed)
        return text

    def _found(self, name: str) -> str:
        return self._own.get(name, self._settings.get(name, ""))

    def _refusal(self, name: str, found: str, allowed: str) -> InvalidArgumentError:
        where = (
            f"parameter '{name}' of model '{self._model}'"
            if name in self._own
            else f"--backend-config={self._backend},{name}"
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

"""What PyTorch says when something fails, worded for people.

Its errors carry traces of TorchScript, of the interpreter and of C++, with paths of the machines on which the model and
PyTorch were made. The log gets all of it, the caller the sentence that says what is wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from charonia.errors import InferenceError, InternalError, InvalidArgumentError, UnsupportedError

from charonia_backend_pytorch.runtime import torch

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_failure", "run_failure"]

_RAISED = re.compile(r"^(?:[\w.]*\.)?\w*(?:Error|Exception): ", re.MULTILINE)
"""How TorchScript introduces the sentence at the end of its trace: `RuntimeError: …`, `torch.jit.Error: …`."""

_CPP = re.compile(r"\nException raised from .*", re.DOTALL)
_DAMAGED = re.compile(r"zip archive|zip file|miniz|deserializ|unexpected EOF", re.IGNORECASE)
_GUARD = re.compile(r"^Guard failed: |Expected input .* to be (?:equal to|of the form|[<>]=?)")
_UNKNOWN_OPERATOR = re.compile(r"Unknown builtin op|Could not find .*operator|Missing .*operator", re.IGNORECASE)


def _sentence(error: BaseException) -> str:
    text = _CPP.sub("", str(error))
    raised = list(_RAISED.finditer(text))
    if raised:
        text = text[raised[-1].end() :]
    return " ".join(text.split()) or type(error).__name__


def load_failure(file: Path, error: BaseException) -> InferenceError:
    """Make the reason why a model's file cannot be loaded."""
    if isinstance(error, InferenceError):
        return error
    version, text = torch().__version__, _sentence(error)
    if _DAMAGED.search(text):
        return InvalidArgumentError(f"'{file}' is damaged, or of a kind that PyTorch {version} does not read: {text}")
    if _UNKNOWN_OPERATOR.search(text):
        return UnsupportedError(
            f"'{file}' uses an operator that PyTorch {version} does not have: {text}: install the PyTorch, or the package of "
            "operators, that it was made with"
        )
    return InvalidArgumentError(f"PyTorch {version} cannot load '{file}': {text}")


def run_failure(error: BaseException) -> InferenceError:
    """Make the answer to a request whose execution failed, worded as in the reference.

    A shape that an exported program's own guards refuse is the caller's mistake; anything else is INTERNAL, as in the reference.
    """
    text = _sentence(error)
    kind = InvalidArgumentError if _GUARD.search(text) else InternalError
    return kind(f"PyTorch execute failure: {text}")

"""What TensorFlow says when something fails, worded for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from charonia.errors import InferenceError, InternalError, InvalidArgumentError, UnavailableError, UnsupportedError
from google.protobuf.message import DecodeError

from charonia_backend_tensorflow.runtime import tensorflow

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_failure", "run_failure"]

_UNKNOWN_OPERATOR = re.compile(r"Op type not registered '(?P<name>[^']+)'")
_NODE = re.compile(r"\{\{node (?P<name>[^}]+)\}\}")
_NOISE = re.compile(
    r"\[\[[^\]]*\]\]|\[Op:\w+\]|Errors may have originated from an input operation\..*|Original stack trace.*"
)


def load_failure(path: Path, error: Exception) -> InferenceError:
    """Make the reason why a model cannot be loaded."""
    if isinstance(error, InferenceError):
        return error
    version, text = tensorflow().__version__, _text(error)
    unknown = _UNKNOWN_OPERATOR.search(text)
    if unknown:
        return UnsupportedError(
            f"'{path}' uses the operator '{unknown['name']}', which TensorFlow {version} does not have: name the library that "
            "brings it in model_operations.op_library_filename"
        )
    if isinstance(error, DecodeError):
        return InvalidArgumentError(f"'{path}' is no model of TensorFlow, or is damaged: {text}")
    return InvalidArgumentError(f"TensorFlow {version} cannot load '{path}': {text}")


def run_failure(error: Exception) -> InferenceError:
    """Make the answer to a request whose execution failed.

    What TensorFlow calls an invalid argument, which is a shape or a value that an operator refuses, is the caller's fault, and
    a lack of memory a matter of the moment; anything else is the model's.
    """
    errors = tensorflow().errors
    kinds: tuple[tuple[type[Exception], type[InferenceError]], ...] = (
        (errors.InvalidArgumentError, InvalidArgumentError),
        (errors.OutOfRangeError, InvalidArgumentError),
        (errors.UnimplementedError, UnsupportedError),
        (errors.ResourceExhaustedError, UnavailableError),
    )
    kind = next((ours for theirs, ours in kinds if isinstance(error, theirs)), InternalError)
    return kind(f"tensorflow error: {_text(error)}")


def _text(error: Exception) -> str:
    """Put an error into one line: its text, and the graph's node that raised it."""
    whole = getattr(error, "message", None) or str(error)
    node = _NODE.search(whole)
    text = " ".join(_NOISE.sub("", " ".join(whole.split())).split())
    return f"{text} (node {node['name']})" if node else text

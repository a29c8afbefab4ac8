"""What ONNX Runtime says when something fails, worded for people.

Its exceptions have no common base and no attributes; their texts look like `[ONNXRuntimeError] : 1 : FAIL : …`, often with
the C++ function that found the mistake.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from charonia.errors import InferenceError, InternalError, InvalidArgumentError, UnsupportedError

from charonia_backend_onnx.runtime import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["load_failure", "run_failure"]

_STATUS = re.compile(r"^\[ONNXRuntimeError\] : (?P<code>\d+) : \w+ : (?P<text>.*)$")
_NOISE = re.compile(
    r"Load model from \S+ failed:"  # the file is named anyway
    r"|/\S*onnxruntime\S*\.\w+:\d+ [^()]*\([^()]*\)(?: const)? "  # a place in the sources, with the function's signature
    r"|\b\w+\.(?:cc|h):\d+ \w+ "  # the same, short
)
_NUMBER = re.compile(r"system error number (\d+)")
_INVALID_ARGUMENT = 2
_NOT_IMPLEMENTED = 9

_TOO_NEW = re.compile(r"Unsupported model IR version|is under development and support for this is limited")
_UNKNOWN_OPERATOR = re.compile(r"No Op registered|No opset import for domain|is not a registered function/op")
_DAMAGED = re.compile(r"protobuf parsing failed|No graph was found|does not have a graph", re.IGNORECASE)
_NO_DATA = re.compile(r"external (?:data|initializer)|not get file size", re.IGNORECASE)


class _Failure(NamedTuple):
    code: int
    text: str


def _read(error: Exception) -> _Failure:
    line = " ".join(str(error).split())
    status = _STATUS.match(line)
    code, text = (int(status["code"]), status["text"]) if status else (1, line)
    text = _NUMBER.sub(lambda number: os.strerror(int(number[1])), _NOISE.sub("", text))
    return _Failure(code, text.strip(" ."))


def load_failure(file: Path, providers: Sequence[str], error: Exception) -> InferenceError:
    """Make the reason why a model's file cannot be loaded on these execution providers."""
    code, text = _read(error)
    version = onnxruntime().__version__
    if _DAMAGED.search(text):
        return InvalidArgumentError(f"'{file}' is no ONNX model, or is damaged: {text}")
    if _TOO_NEW.search(text):
        return UnsupportedError(
            f"'{file}' is newer than ONNX Runtime {version} understands: {text}: install a newer ONNX Runtime, or export the "
            "model for an older opset"
        )
    if _UNKNOWN_OPERATOR.search(text):
        return UnsupportedError(
            f"'{file}' uses an operator that ONNX Runtime {version} does not have: {text}: name the library of a custom "
            "operator in model_operations.op_library_filename"
        )
    if code == _NOT_IMPLEMENTED:
        return UnsupportedError(f"ONNX Runtime {version} cannot run '{file}' with {', '.join(providers)}: {text}")
    if _NO_DATA.search(text):
        return InvalidArgumentError(
            f"'{file}' keeps its weights in other files, and they cannot be read: {text}: put them beside it, into a directory "
            "model.onnx/ that holds model.onnx and the weights"
        )
    return InvalidArgumentError(f"ONNX Runtime {version} cannot open '{file}' with {', '.join(providers)}: {text}")


def run_failure(error: Exception) -> InferenceError:
    """Make the answer to a request whose execution failed, worded as in the reference.

    What ONNX Runtime calls an invalid argument (a shape or an absent input) is the caller's fault; anything else, such as an
    operator that fails on the data, is the model's, and INTERNAL as in the reference.
    """
    code, text = _read(error)
    if isinstance(error, ValueError):  # the Python layer's own check: a required input is absent
        code = _INVALID_ARGUMENT
    kind = InvalidArgumentError if code == _INVALID_ARGUMENT else InternalError
    return kind(f"onnx runtime error {code}: {text}")

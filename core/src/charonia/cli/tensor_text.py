"""Tensors as people write and read them: `name=value` on the command line, and outputs on the screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.tensor import as_tensor, decode_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.tensor import Array

__all__ = ["json_output", "read_output", "read_value", "show_output"]

_SHOWN = 200
"""Elements of an output that are shown to people before the middle is left out."""


def read_value(name: str, text: str, datatype: DataType, shape: Sequence[int]) -> Array:
    """Read a value of the command line.

    Args:
        name: the input's name, for errors.
        text: `FILE.npy`, `FILE.json`, `@FILE` for the bytes of a file, or the value itself as JSON, a number or text.
        datatype: what the model takes.
        shape: what the model takes; -1 where any size will do. Where the value lacks the first dimension it gets one of 1.

    Raises:
        click.BadParameter: it cannot be read, or is not of that datatype.
    """
    try:
        array = as_tensor(_load(text, datatype), datatype)
    except (InvalidArgumentError, OSError, ValueError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        raise click.BadParameter(f"{reason}.", param_hint=f"'{name}'") from error
    if array.ndim == 0:
        return array.reshape([1] * len(shape))
    return array[np.newaxis] if array.ndim == len(shape) - 1 else array


def _load(text: str, datatype: DataType) -> Any:
    if text.startswith("@"):
        content = Path(text[1:]).read_bytes()
        return content if datatype is DataType.BYTES else np.frombuffer(content, datatype.dtype)
    if text.endswith(".npy"):
        return np.load(text, allow_pickle=False)
    if text.endswith(".json"):
        return _parsed(Path(text).read_text(encoding="utf-8"))
    if datatype is DataType.BYTES and not text.startswith(("[", '"')):
        return text
    try:
        return _parsed(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no {datatype.name} value: give JSON such as [[1, 2], [3, 4]], a file that ends in .npy or .json, or "
            "@FILE for the bytes of a file"
        ) from error


def _parsed(text: str) -> Any:
    value = json.loads(text)
    if isinstance(value, dict) or value is None:
        raise ValueError(f"{text[:60]!r} is no tensor: give a list, a number, a string, true or false")
    return value


def read_output(output: Mapping[str, Any], binary: memoryview) -> tuple[Array, memoryview]:
    """Read an output of a response. Gives the array, and the binary data that belongs to later outputs.

    Raises:
        ValueError: the output is not what the protocol says.
    """
    datatype = DataType[output["datatype"]]
    shape = [int(size) for size in output["shape"]]
    size = output.get("parameters", {}).get("binary_data_size")
    if size is None:
        return as_tensor(output["data"], datatype).reshape(shape), binary
    blob, rest = binary[:size], binary[size:]
    if datatype is not DataType.BYTES:
        return np.frombuffer(blob, datatype.dtype).reshape(shape), rest
    return decode_bytes(blob).reshape(shape), rest


def json_output(name: str, array: Array) -> dict[str, Any]:
    """Give an output as the protocol's JSON has it; bytes that are no UTF-8 keep what can be shown of them."""
    datatype = DataType.of_dtype(array.dtype)
    flat = [_text(item) for item in array.ravel()] if datatype is DataType.BYTES else _numbers(array).ravel().tolist()
    return {"name": name, "datatype": datatype.name, "shape": list(array.shape), "data": flat}


def show_output(name: str, array: Array) -> str:
    """Write an output for people; of a large one the beginning and the end."""
    datatype = DataType.of_dtype(array.dtype)
    if datatype is DataType.BYTES:
        shown = np.array([_text(item) for item in array.ravel()], np.object_).reshape(array.shape)
    else:
        shown = _numbers(array)
    values = np.array2string(shown, separator=", ", threshold=_SHOWN)
    return f"{name}  {datatype.name} {list(array.shape)}\n{values}"


def _numbers(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == DataType.BF16.dtype else array


def _text(item: object) -> str:
    return item.decode("utf-8", errors="backslashreplace") if isinstance(item, bytes) else str(item)

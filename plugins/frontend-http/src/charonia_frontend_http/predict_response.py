"""From an inference response to a plain body: a JSON object of nested arrays, or a `.npy` file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from charonia.datatypes import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.http_message import HttpResponse
from charonia.tensor import as_numpy

from charonia_frontend_http.media_type import NPY
from charonia_frontend_http.message import JSON
from charonia_frontend_http.npy import write_npy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.tensor import Array, Tensor

__all__ = ["write_prediction"]


def write_prediction(outputs: Mapping[str, Tensor], *, npy: bool) -> HttpResponse:
    """Write outputs as JSON, by name in the order in which the model made them, or the only one as `.npy`.

    Numbers that JSON has no word for are written bare (NaN, Infinity), as `infer` does.

    Raises:
        InvalidArgumentError: an output cannot be told in that form.
        InternalError: an output has a dtype that the protocol does not know.
    """
    arrays = {name: _known(name, as_numpy(tensor)) for name, tensor in outputs.items()}
    if npy:
        ((name, array),) = arrays.items()
        return HttpResponse(200, write_npy(name, array), NPY)
    if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in arrays.values()):
        document = {name: _listed(name, array) for name, array in arrays.items()}
        return HttpResponse(200, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), JSON)
    plain = {name: _plain(name, array) for name, array in arrays.items()}
    return HttpResponse(200, orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY), JSON)


def _known(name: str, array: Array) -> Array:
    """Give the array in the datatype's own dtype, with the bytes of each number in this machine's order."""
    try:
        datatype = DataType.of_dtype(array.dtype)
    except KeyError:
        raise InternalError(f"output '{name}' has dtype {array.dtype}, which the protocol does not know") from None
    return array if datatype is DataType.BYTES else array.astype(datatype.dtype, copy=False)


def _plain(name: str, array: Array) -> Any:
    """Give what orjson writes: arrays of numbers as they are, doubles for floats as `infer` has them, text for strings."""
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        return _listed(name, array)
    return np.ascontiguousarray(array, np.float64 if array.dtype.kind == "f" else None)


def _listed(name: str, array: Array) -> Any:
    if array.dtype.kind in "OSU":
        return _texts(name, array).tolist()
    if array.dtype.kind == "V":  # BF16
        return array.astype(np.float64).tolist()
    return array.tolist()


def _texts(name: str, array: Array) -> Array:
    texts = np.empty(array.shape, np.object_)
    try:
        texts.ravel()[:] = [item if isinstance(item, str) else bytes(item).decode() for item in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"output '{name}' has bytes that are no text ({error}), which JSON cannot tell: send 'Accept: {NPY}' and name it by "
            f"the query, '?outputs={name}', or ask 'infer' for binary outputs"
        ) from error
    return texts

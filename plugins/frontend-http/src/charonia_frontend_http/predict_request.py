"""From the body of a plain request to the tensors of a model: a JSON object, a `.npy` file, or a form with fields and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.tensor import as_tensor

from charonia_frontend_http.form_data import read_form
from charonia_frontend_http.json_access import load_json
from charonia_frontend_http.media_type import FORM, NPY, media_type
from charonia_frontend_http.message import JSON
from charonia_frontend_http.npy import MAGIC, read_npy

if TYPE_CHECKING:
    from charonia.signature import Signature, TensorSpec
    from charonia.tensor import Array

    from charonia_frontend_http.form_data import FormPart

__all__ = ["READABLE", "PredictReader"]

_URLENCODED = "application/x-www-form-urlencoded"
READABLE = (JSON, NPY, FORM)
"""The media types that are read; a body of no type, and what curl says where nobody told it, are JSON."""


class PredictReader:
    """Reads the bodies of plain requests.

    Args:
        max_input_size: the largest JSON text, in bytes, be it a body or a part of a form.
    """

    def __init__(self, max_input_size: int) -> None:
        self._max_input_size = max_input_size

    @staticmethod
    def reads(content_type: str) -> bool:
        """Tell whether a body of this Content-Type can be read."""
        return media_type(content_type)[0] in {"", _URLENCODED, *READABLE}

    def read(self, signature: Signature, content_type: str, body: bytes) -> dict[str, Array]:
        """Make the tensors by name, of the datatypes that the model wants. Whether shapes fit is for the model to check.

        Raises:
            InvalidArgumentError: the body cannot be read, names what the model has not, or holds values of another kind.
        """
        kind, parameters = media_type(content_type)
        if kind == NPY:
            spec = _only_input(signature)
            return {spec.name: _npy(signature, spec, body)}
        if kind == FORM:
            return self._form(signature, read_form(body, parameters))
        document = self._json(body, "the body")
        if type(document) is not dict:
            raise InvalidArgumentError(
                f"the body is JSON, but no object of inputs by name; model '{signature.model}' wants {_wanted(signature)}"
            )
        return {name: _tensor(signature, _spec(signature, name), value) for name, value in document.items()}

    def _json(self, text: bytes, what: str) -> Any:
        if len(text) > self._max_input_size:
            raise InvalidArgumentError(
                f"{what} has {len(text)} bytes of JSON, which exceeds the maximum allowed input size of "
                f"{self._max_input_size} bytes. Use --http-max-input-size to increase the limit."
            )
        return load_json(text)

    def _form(self, signature: Signature, parts: list[FormPart]) -> dict[str, Array]:
        tensors: dict[str, Array] = {}
        for part in parts:
            spec = _spec(signature, part.name)
            if spec.name in tensors:
                raise InvalidArgumentError(f"the form has several parts for input '{spec.name}', expected one")
            tensors[spec.name] = self._part(signature, spec, part)
        return tensors

    def _part(self, signature: Signature, spec: TensorSpec, part: FormPart) -> Array:
        declared = media_type(part.content_type)[0]
        is_text = spec.datatype is DataType.BYTES
        is_npy = declared == NPY or part.filename.endswith(".npy") or (not is_text and part.content.startswith(MAGIC))
        if is_npy:
            return _npy(signature, spec, part.content)
        if not is_text or declared == JSON or part.filename.endswith(".json"):
            return _tensor(signature, spec, self._json(part.content, f"the part for input '{spec.name}'"))
        return _tensor(signature, spec, part.content)


def _only_input(signature: Signature) -> TensorSpec:
    inputs = list(signature.inputs.values())
    wanted = inputs if len(inputs) == 1 else [spec for spec in inputs if not spec.optional]
    if len(wanted) != 1:
        raise InvalidArgumentError(
            f".npy data is for a model with one input, but model '{signature.model}' wants {_wanted(signature)}: send JSON, or "
            "a form with a file for each input"
        )
    return wanted[0]


def _spec(signature: Signature, name: str) -> TensorSpec:
    spec = signature.inputs.get(name)
    if spec is None:
        raise InvalidArgumentError(
            f"unexpected inference input '{name}' for model '{signature.model}', which wants {_wanted(signature)}"
        )
    return spec


def _wanted(signature: Signature) -> str:
    told = [f"'{spec.name}' ({spec.datatype.name} {list(spec.shape)})" for spec in signature.inputs.values()]
    return ", ".join(told) or "no inputs"


def _npy(signature: Signature, spec: TensorSpec, content: bytes) -> Array:
    try:
        array = read_npy(content, spec.datatype)
    except InvalidArgumentError as error:
        raise _about(signature, spec, error) from error
    return _tensor(signature, spec, array)


def _tensor(signature: Signature, spec: TensorSpec, value: object) -> Array:
    """Convert a value; one that is no array is a tensor with one element, of as many dimensions as the model wants."""
    try:
        tensor = as_tensor(_whole_numbers(value, spec.datatype), spec.datatype)
    except InvalidArgumentError as error:
        raise _about(signature, spec, error) from error
    return tensor.reshape((1,) * len(spec.shape)) if tensor.ndim == 0 else tensor


def _whole_numbers(value: object, datatype: DataType) -> object:
    """Keep numpy from making floats of a list with integers below and above 2^63."""
    if datatype is not DataType.UINT64 or type(value) is not list:
        return value
    try:
        array = np.asarray(value, dtype=np.object_)
        kinds: set[type] = set(map(type, array.ravel().tolist()))
        return array.astype(np.uint64) if kinds == {int} else value
    except (OverflowError, ValueError):
        return value


def _about(signature: Signature, spec: TensorSpec, error: InvalidArgumentError) -> InvalidArgumentError:
    return InvalidArgumentError(f"input '{spec.name}' of model '{signature.model}': {error}")

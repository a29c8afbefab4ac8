"""From the plain JSON object of a generate request to an InferenceRequest.

Each member of the object is an input of the model, where it has that name, or else a parameter for the model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError
from charonia.request import InferenceRequest

from charonia_frontend_http.json_access import load_json, take_string, wrong_type
from charonia_frontend_http.parameters import custom_parameter
from charonia_frontend_http.tensor_input import tensor_from_json

if TYPE_CHECKING:
    from charonia.model import Model
    from charonia.request import Parameter, ResponseSink
    from charonia.signature import TensorSpec
    from charonia.tensor import Array, MalformedTensor

__all__ = ["decode_generate"]

_NESTED = "parameters"


def decode_generate(
    model: Model, version: int | None, body: bytes | memoryview, max_input_size: int, sink: ResponseSink
) -> InferenceRequest:
    """Decode the body of a generate request.

    As in the reference, the member `id` names the request and is also a parameter, no name is reserved, and the members of
    `parameters` are taken like those around it.

    Args:
        model: the model that is asked, as found for its name.
        version: the version that the path names.
        body: the whole body.
        max_input_size: the largest body, in bytes.
        sink: where the responses go.

    Raises:
        InvalidArgumentError: the request is malformed, or a value does not fit its input.
    """
    if len(body) > max_input_size:
        raise InvalidArgumentError(
            f"request JSON size of {len(body)} bytes exceeds the maximum allowed input size of {max_input_size} bytes. "
            "Use --http-max-input-size to increase the limit."
        )
    document = load_json(body)
    if type(document) is not dict:
        raise InvalidArgumentError("attempt to get members for non-object")
    identifier = take_string(document, "id") if "id" in document else ""
    members = _Members(model, identifier)
    members.read(document)
    return InferenceRequest(
        model.name, members.tensors, sink, model_version=version, id=identifier, parameters=members.parameters
    )


class _Members:
    """Sorts members into inputs and parameters."""

    def __init__(self, model: Model, identifier: str) -> None:
        self._inputs = model.signature.inputs
        self._who = (identifier, model.name)
        self.tensors: dict[str, Array | MalformedTensor] = {}
        self.parameters: dict[str, Parameter] = {}

    def read(self, document: dict[str, Any]) -> None:
        for name, value in document.items():
            if name == _NESTED:
                self._read_nested(value)
            else:
                self._read_member(name, value)

    def _read_nested(self, value: object) -> None:
        if _NESTED in self._inputs:
            raise InvalidArgumentError(f"Keyword '{_NESTED}' for nested schema also given as input tensor name")
        if type(value) is not dict:
            raise wrong_type("object", f"Expected JSON object for keyword: '{_NESTED}': ")
        try:
            for name, inner in value.items():
                self._read_member(name, inner)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"Converting keyword: '{_NESTED}': {error}") from error

    def _read_member(self, name: str, value: Any) -> None:
        spec = self._inputs.get(name)
        if spec is None:
            self.parameters[name] = custom_parameter(name, value)
            return
        if name in self.tensors:
            raise InvalidArgumentError(
                f"[request id: {self._who[0] or '<id_unknown>'}] input '{name}' already exists in request"
            )
        data = value if type(value) is list else [value]
        self.tensors[name] = tensor_from_json(name, spec.datatype, _shape(spec, len(data)), data, self._who)


def _shape(spec: TensorSpec, count: int) -> tuple[int, ...]:
    """Spread elements over the dimensions: the innermost one of any size takes all that the fixed ones leave."""
    fixed = math.prod(size for size in spec.shape if size != -1)
    innermost = max((place for place, size in enumerate(spec.shape) if size == -1), default=None)
    if fixed == 0 or (count % fixed if innermost is not None else count != fixed):
        raise InvalidArgumentError(f"The schema can not convert input '{spec.name}' to tensor with proper shape")
    return tuple(
        size if size != -1 else count // fixed if place == innermost else 1 for place, size in enumerate(spec.shape)
    )

"""From the bytes of an infer request to an InferenceRequest and the form in which its outputs are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from charonia.binary_tensor import element_count, tensor_from_bytes
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.request import InferenceRequest

from charonia_frontend_http.decoded import Decoded, Wanted
from charonia_frontend_http.json_access import (
    load_json,
    take_bool,
    take_list,
    take_string,
    take_unsigned,
    wrong_type,
)
from charonia_frontend_http.json_size import HeaderLengthError, read_json_size
from charonia_frontend_http.parameters import read_parameters
from charonia_frontend_http.raw_request import read_raw
from charonia_frontend_http.region_parameters import REGION, find_region
from charonia_frontend_http.tensor_input import tensor_from_json

if TYPE_CHECKING:
    from charonia.model import Model
    from charonia.request import ResponseSink
    from charonia.shared_memory import RegionSlice, SharedMemory
    from charonia.tensor import Array, MalformedTensor

    from charonia_frontend_http.known_requests import KnownRequests

__all__ = ["decode_infer"]

_DATATYPES = DataType.__members__
_NONE: dict[str, Any] = {}
_SOURCES = "'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'"


def decode_infer(
    model: Model,
    version: int | None,
    body: bytes | memoryview,
    header_length: str | None,
    max_input_size: int,
    shared_memory: SharedMemory,
    sink: ResponseSink,
    known: KnownRequests,
) -> Decoded:
    """Decode the body of an infer request.

    Args:
        model: the model that is asked, as found for its name.
        version: the version that the path names.
        body: the whole body, content coding undone.
        header_length: the header field Inference-Header-Content-Length, or None where there is none.
        max_input_size: the largest JSON document, or JSON or raw tensor, in bytes.
        shared_memory: the regions that inputs and outputs may name.
        sink: where the responses go.
        known: what the model was asked before.

    Raises:
        InferenceError: the request is malformed; the first thing that is wrong in the reference's order.
    """
    size = _json_size(body, header_length)
    if size == 0:
        tensors = read_raw(model, body, max_input_size)
        request = InferenceRequest(model.name, tensors, sink, model_version=version)
        return Decoded(request, Wanted({}, binary_default=True))
    if size > max_input_size:
        raise InvalidArgumentError(
            f"request JSON size of {size} bytes exceeds the maximum allowed input size of {max_input_size} bytes. "
            "Use --http-max-input-size to increase the limit."
        )
    decoded = known.find(body, size, version, sink)
    if decoded is None:
        decoded = _read(model, version, body, size, max_input_size, shared_memory, sink)
        known.learn(body, size, version, decoded)
    return decoded


def _read(
    model: Model,
    version: int | None,
    body: bytes | memoryview,
    size: int,
    max_input_size: int,
    shared_memory: SharedMemory,
    sink: ResponseSink,
) -> Decoded:
    """Read a body of which so many bytes are JSON."""
    view = memoryview(body)
    document = load_json(view[:size] if size < len(body) else body)
    if type(document) is not dict:
        document = {}
    identifier = take_string(document, "id") if "id" in document else ""
    told = read_parameters(document["parameters"]) if "parameters" in document else None
    inputs = _Inputs(model.name, identifier, view[size:], max_input_size, shared_memory)
    tensors = inputs.read(take_list(document, "inputs"))
    outputs = _Outputs(identifier, shared_memory)
    if "outputs" in document:
        outputs.read(take_list(document, "outputs"))
    request = InferenceRequest(
        model.name,
        tensors,
        sink,
        model_version=version,
        id=identifier,
        requested_outputs=tuple(outputs.binary),
        output_regions=outputs.regions,
    )
    if told is not None:
        told.apply(request)
    binary_default = told is not None and told.binary_output
    return Decoded(request, Wanted(outputs.binary, binary_default, outputs.classes))


def _json_size(body: bytes | memoryview, header_length: str | None) -> int:
    """Find out how many bytes of the body are JSON; 0 means that all of it is the data of the one input."""
    if header_length is None:
        return len(body)
    size = read_json_size(header_length)
    if not 0 <= size <= len(body):
        raise HeaderLengthError(
            f"inference header size should be in range (0, {len(body)}), got: {header_length.strip()}"
        )
    return size


class _Inputs:
    """Reads the inputs in their order; binary ones take their bytes from what follows the JSON, shared ones stay in memory."""

    def __init__(
        self, model: str, identifier: str, rest: memoryview, max_input_size: int, shared_memory: SharedMemory
    ) -> None:
        self._who = (identifier, model)
        self._rest = rest
        self._at = 0
        self._max_input_size = max_input_size
        self._shared_memory = shared_memory

    def read(self, items: list[Any]) -> dict[str, Array | MalformedTensor]:
        tensors: dict[str, Array | MalformedTensor] = {}
        for element in items:
            item = element if type(element) is dict else _NONE  # as in the reference, it has no member then
            parameters = _parameters(item)
            binary = "binary_data_size" in parameters
            region = REGION in parameters
            if ("data" in item) + binary + region != 1:
                _refuse_sources(item, binary=binary, region=region)
            name = take_string(item, "name")
            written = take_string(item, "datatype")
            shape = _shape(take_list(item, "shape"))
            if name in tensors:
                raise InvalidArgumentError(
                    f"[request id: {self._who[0] or '<id_unknown>'}] input '{name}' already exists in request"
                )
            datatype = _DATATYPES.get(written)
            if binary:
                view = self._next_bytes(name, parameters["binary_data_size"])
                tensors[name] = tensor_from_bytes(name, datatype, shape, view, self._who)
            elif region:
                view = find_region(parameters, self._shared_memory).view()
                tensors[name] = tensor_from_bytes(name, datatype, shape, view, self._who)
            else:
                tensors[name] = self._from_json(name, datatype, shape, take_list(item, "data"))
        if self._at != len(self._rest):
            raise InvalidArgumentError(f"unexpected additional input data for model '{self._who[1]}'")
        return tensors

    def _from_json(
        self, name: str, datatype: DataType | None, shape: tuple[int, ...], data: list[Any]
    ) -> Array | MalformedTensor:
        if datatype is not None:
            size = datatype.size * element_count(name, shape)
            if size > self._max_input_size:
                raise InvalidArgumentError(
                    f"JSON input '{name}' has a byte_size ({size} bytes) that exceeds the maximum allowed value of "
                    f"{self._max_input_size} bytes. Use --http-max-input-size to increase the limit."
                )
        return tensor_from_json(name, datatype, shape, data, self._who)

    def _next_bytes(self, name: str, size: object) -> memoryview:
        wanted = take_unsigned(size, "Unable to parse 'binary_data_size': ")
        start, end = self._at, self._at + wanted
        lacking = end - len(self._rest)
        if lacking > 0:
            raise InvalidArgumentError(
                f"unexpected size for input '{name}', expecting {lacking} additional bytes for model '{self._who[1]}'"
            )
        self._at = end
        return self._rest[start:end]


class _Outputs:
    """Reads which outputs are wanted, and in which form.

    Attributes:
        binary: whether each is wanted in binary form.
        classes: how many classes are wanted of those that are to be classified.
        regions: where those go that are wanted in shared memory.
    """

    def __init__(self, identifier: str, shared_memory: SharedMemory) -> None:
        self._identifier = identifier
        self._shared_memory = shared_memory
        self.binary: dict[str, bool] = {}
        self.classes: dict[str, int] = {}
        self.regions: dict[str, RegionSlice] = {}

    def read(self, items: list[Any]) -> None:
        for item in items:
            output = item if type(item) is dict else _NONE  # as in the reference, it has no member then
            name = take_string(output, "name")
            parameters = _parameters(output)
            flag = take_bool(parameters.get("binary_data", False), "Unable to parse 'binary_data': ")
            if "classification" in parameters:
                count = take_unsigned(parameters["classification"], "Unable to set 'classification': ")
                if count:
                    self.classes[name] = count
            if REGION in parameters:
                for wish, wished in (("classification", "classification" in parameters), ("binary_data", flag)):
                    if wished:
                        raise InvalidArgumentError(f"Output can't set both '{REGION}' and '{wish}'")
                self.regions[name] = find_region(parameters, self._shared_memory)
            if name in self.binary:
                raise InvalidArgumentError(
                    f"[request id: {self._identifier or '<id_unknown>'}] output '{name}' already exists in request"
                )
            self.binary[name] = flag


def _refuse_sources(item: dict[str, Any], *, binary: bool, region: bool) -> None:
    found = [
        f"'{name}'"
        for name, there in (("data", "data" in item), ("binary_data_size", binary), (REGION, region))
        if there
    ]
    told = f"But set {' '.join(found)}" if found else "But no field is set"
    raise InvalidArgumentError(f"Input must set only one of the following fields: {_SOURCES}. {told}")


def _parameters(item: dict[str, Any]) -> dict[str, Any]:
    """Give the parameters of an input or output; as in the reference, none if they are no object."""
    parameters = item.get("parameters")
    return parameters if type(parameters) is dict else _NONE


def _shape(sizes: list[Any]) -> tuple[int, ...]:
    for size in sizes:
        if type(size) is not int or size < 0:
            raise wrong_type("unsigned", "Unable to parse 'shape': ")
    return tuple(sizes)

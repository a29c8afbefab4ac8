"""From the message of an infer request to an InferenceRequest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from charonia.binary_tensor import tensor_from_bytes
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.request import InferenceRequest
from charonia.tensor import MalformedTensor

from charonia_frontend_grpc.explicit_contents import tensor_from_contents
from charonia_frontend_grpc.parameters import read_parameters
from charonia_frontend_grpc.tensor_parameters import class_count, input_region, output_region

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from charonia.model import Model
    from charonia.request import ResponseSink
    from charonia.shared_memory import RegionSlice, SharedMemory
    from charonia.tensor import Array
    from charonia_protos.grpc_service_pb2 import ModelInferRequest

__all__ = ["Decoded", "decode_infer"]

_DATATYPES = DataType.__members__


@dataclass(slots=True)
class Decoded:
    """A request, and how its answer is wanted.

    Attributes:
        request: what the server is asked.
        wants_empty_final: whether a final response without outputs is to be told, too.
        classes: how many of an output's greatest elements are wanted instead of it, by the names of such outputs.
    """

    request: InferenceRequest
    wants_empty_final: bool = False
    classes: Mapping[str, int] = field(default_factory=dict)


class _Named(Protocol):
    """An input or an output."""

    name: str


def decode_infer(
    model: Model,
    version: int | None,
    message: ModelInferRequest,
    raw: Collection[bytes | memoryview],
    shared_memory: SharedMemory,
    sink: ResponseSink,
) -> Decoded:
    """Decode an infer request.

    Args:
        model: the model that is asked, as found for its name.
        version: the version that the message names.
        message: the message.
        raw: the entries of its `raw_input_contents`, which stand for those in the message.
        shared_memory: the regions that inputs and outputs may name.
        sink: where the responses go.

    Raises:
        InferenceError: the request is malformed; the first thing that is wrong in the reference's order.
    """
    told = read_parameters(message.parameters) if message.parameters else None
    _check_names(message, "input", message.inputs)
    _check_names(message, "output", message.outputs)
    tensors = _read_inputs(message, raw, model.name, shared_memory)
    regions: dict[str, RegionSlice] = {}
    classes: dict[str, int] = {}
    for output in message.outputs:
        if output.parameters:
            count = class_count(output.parameters)
            if count:
                classes[output.name] = count
            region = output_region(output.parameters, output.name, shared_memory)
            if region is not None:
                regions[output.name] = region
    request = InferenceRequest(
        model.name,
        tensors,
        sink,
        model_version=version,
        id=message.id,
        requested_outputs=tuple(output.name for output in message.outputs),
        output_regions=regions,
    )
    if told is None:
        return Decoded(request, classes=classes)
    told.apply(request)
    return Decoded(request, told.empty_final_response, classes)


def _check_names(message: ModelInferRequest, kind: str, tensors: Collection[_Named]) -> None:
    """Refuse two tensors of one name."""
    if len(tensors) < 2:  # noqa: PLR2004 - it takes two
        return
    names: set[str] = set()
    for tensor in tensors:
        if tensor.name in names:
            raise InvalidArgumentError(
                f"[request id: {message.id or '<id_unknown>'}] {kind} '{tensor.name}' already exists in request"
            )
        names.add(tensor.name)


def _read_inputs(
    message: ModelInferRequest, raw: Collection[bytes | memoryview], model: str, shared_memory: SharedMemory
) -> dict[str, Array | MalformedTensor]:
    """Read the inputs in their order.

    Each that is neither in shared memory nor has `contents` takes the next of the raw ones; surplus ones are ignored.
    """
    who = (message.id, model)
    some_raw = bool(raw)
    rest = iter(raw)
    tensors: dict[str, Array | MalformedTensor] = {}
    for item in message.inputs:
        name = item.name
        datatype = _DATATYPES.get(item.datatype)
        shape = tuple(item.shape)
        has_contents = item.HasField("contents")
        body: bytes | memoryview | None = None
        if item.parameters:
            body = input_region(item.parameters, name, model, shared_memory, has_contents=has_contents)
        if has_contents and some_raw:
            raise InvalidArgumentError(
                f"contents field must not be specified when using raw_input_contents for '{name}' for model '{model}'"
            )
        if body is None and not has_contents:
            body = next(rest, None)
            if body is None:
                raise InvalidArgumentError(
                    f"unable to find data for input tensor '{name}' for model '{model}' in request."
                )
        if shape and min(shape) < 0:
            tensors[name] = _with_unknown_size(name, datatype, shape)
        elif body is None:
            tensors[name] = tensor_from_contents(name, datatype, shape, item.contents, who)
        else:
            tensors[name] = tensor_from_bytes(name, datatype, shape, body, who)
    return tensors


def _with_unknown_size(name: str, datatype: DataType | None, shape: tuple[int, ...]) -> MalformedTensor:
    written = ",".join(map(str, shape))
    problem = f"invalid shape for input '{name}': shape [{written}] contains one or more invalid dimensions"
    return MalformedTensor(datatype, shape, InvalidArgumentError(problem))

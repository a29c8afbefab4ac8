"""From an inference response to the bytes of a message.

What depends on the model alone is made once: its name and version, and each output's name and datatype.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from charonia.byte_parts import ByteParts
from charonia.classification import classify
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.tensor import actual_datatype, as_numpy, encode_bytes
from charonia_protos import grpc_service_pb2 as pb
from charonia_protos.wire import length_delimited, packed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.model import Model
    from charonia.request import InferenceResponse, Parameter
    from charonia.tensor import Array

    from charonia_frontend_grpc.infer_request import Decoded

__all__ = ["ResponseEncoder", "parameter_fields"]

MAX_MESSAGE_SIZE = 2_147_483_647
"""The largest message that protobuf and gRPC can carry, in bytes."""

_ID, _OUTPUTS, _RAW = 3, 5, 6  # field numbers of ModelInferResponse
_SHAPE = 3  # of its outputs
_VIEWED_FROM = 65_536
_INT64_MAX, _UINT64_MAX = (1 << 63) - 1, (1 << 64) - 1


class ResponseEncoder:
    """Writes the responses of one model version.

    Args:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self._start = pb.ModelInferResponse(model_name=model.name, model_version=str(model.version)).SerializeToString()
        self._labels = model.labels
        self._batched = model.signature.max_batch_size > 0
        self._heads = {
            spec.name: (spec.datatype, _head(spec.name, spec.datatype)) for spec in model.signature.outputs.values()
        }

    def encode_apart(self, decoded: Decoded, response: InferenceResponse) -> bytes | ByteParts:
        """Write a ModelInferResponse, whose large outputs stay where they are. Otherwise as `encode`."""
        parts = self._parts(decoded, response)
        for part in parts:
            if len(part) >= _VIEWED_FROM:
                return ByteParts(parts)
        return b"".join(parts)

    def encode(self, decoded: Decoded, response: InferenceResponse, extra: bytes = b"") -> bytes:
        """Write a ModelInferResponse with the outputs in the order in which the model made them, all as raw contents.

        Args:
            decoded: what is answered, and how.
            response: the answer, without an error.
            extra: more fields of the message, serialised.

        Raises:
            InternalError: an output has a dtype that the protocol does not know.
            InvalidArgumentError: the message would be larger than any can be, or an output cannot be classified.
        """
        return b"".join(self._parts(decoded, response, extra))

    def _parts(self, decoded: Decoded, response: InferenceResponse, extra: bytes = b"") -> list[bytes | memoryview]:
        request, classes = decoded.request, decoded.classes
        parts: list[bytes | memoryview] = [self._start, extra]
        if request.id:
            identifier = request.id.encode()
            parts += (length_delimited(_ID, len(identifier)), identifier)
        if response.parameters:
            parts.append(parameter_fields(response.parameters))
        raw: list[bytes | memoryview] = []
        wanted = request.requested_outputs
        size = 0
        for name, tensor in response.outputs.items():
            known = self._heads.get(name)
            if known is None or (wanted and name not in wanted):  # not in the configuration, or not asked for
                continue
            array = as_numpy(tensor)
            datatype, head = known
            if array.dtype != datatype.dtype:
                array, datatype = actual_datatype(name, array)
                head = _head(name, datatype)
            if name in classes:
                array, datatype, head = self._classified(name, array, classes[name])
            data = b"" if name in request.output_regions else _data(array, datatype)  # in its region it is by now
            size += len(data)
            parts.append(_output(head, array.shape))
            raw += (length_delimited(_RAW, len(data)), data)
        if size > MAX_MESSAGE_SIZE:
            raise InvalidArgumentError(
                f"Response has byte size {size} which exceeds gRPC's byte size limit {MAX_MESSAGE_SIZE}."
            )
        return parts + raw

    def _classified(self, name: str, array: Array, count: int) -> tuple[Array, DataType, bytes]:
        classes = classify(array, count, batched=self._batched, labels=self._labels.get(name, ()))
        return classes, DataType.BYTES, _head(name, DataType.BYTES)


@lru_cache(1024)
def _output(head: bytes, shape: tuple[int, ...]) -> bytes:
    """Write an output's field, which is the same for each response of its shape."""
    whole = head + packed(_SHAPE, shape)
    return length_delimited(_OUTPUTS, len(whole)) + whole


def _head(name: str, datatype: DataType) -> bytes:
    return pb.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype.name).SerializeToString()


def _data(array: Array, datatype: DataType) -> bytes | memoryview:
    """Give the bytes of a tensor: a large one as a view, which is copied only into the message."""
    if datatype is DataType.BYTES:
        return encode_bytes(array)
    if array.nbytes < _VIEWED_FROM:
        return array.tobytes()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def parameter_fields(parameters: Mapping[str, Parameter]) -> bytes:
    """Write the field `parameters` of a ModelInferResponse."""
    message = pb.ModelInferResponse()
    for name, value in parameters.items():
        target = message.parameters[name]
        if isinstance(value, bool):
            target.bool_param = value
        elif isinstance(value, str):
            target.string_param = value
        elif isinstance(value, float) or not -_INT64_MAX - 1 <= value <= _UINT64_MAX:
            target.double_param = value
        elif value <= _INT64_MAX:
            target.int64_param = value
        else:
            target.uint64_param = value
    return message.SerializeToString()

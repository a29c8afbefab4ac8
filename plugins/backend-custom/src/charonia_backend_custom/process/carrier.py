"""Tensors into messages and back: small ones within the message, others in blocks of shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import triton_python_backend_utils as pb_utils
from charonia.datatypes import DataType
from charonia.tensor import as_numpy, decode_bytes, encode_bytes

from charonia_backend_custom.answers import ReceivedAnswer
from charonia_backend_custom.process.messages import RequestData
from charonia_backend_custom.served import trace_context
from charonia_backend_custom.string_tensors import with_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charonia.tensor import Array, Tensor

    from charonia_backend_custom.process.blocks import Announce, BlockPool, BlockViews
    from charonia_backend_custom.process.messages import Plain, ResponseData, TensorData
    from charonia_backend_custom.served import ServedRequest

__all__ = ["TensorCarrier"]

_DTYPES = {datatype.name: datatype.dtype for datatype in DataType}
_NAMES = {dtype: name for name, dtype in _DTYPES.items() if name != DataType.BYTES.name}

_WITHIN_MESSAGE = 1 << 14
"""Up to 16 KiB, a copy through the socket costs less than a block."""


class TensorCarrier:
    """Carries tensors, and requests and responses with theirs, over one channel.

    Args:
        pool: where this side writes.
        views: what the other side has written.
        announce: tells the other side of a new block, over the channel.
    """

    def __init__(self, pool: BlockPool, views: BlockViews, announce: Announce) -> None:
        self._pool = pool
        self._views = views
        self._announce = announce

    def pack(self, name: str, tensor: Tensor) -> TensorData:
        """Make the message of a tensor. What lies on a device is brought to the CPU."""
        if isinstance(tensor, np.ndarray) and tensor.nbytes <= _WITHIN_MESSAGE:
            plain = _NAMES.get(tensor.dtype)
            if plain is not None:
                return name, plain, tensor.shape, tensor.tobytes(), 0, tensor.nbytes
        array = as_numpy(with_bytes(tensor))
        datatype = DataType.of_dtype(array.dtype)
        flat = np.frombuffer(encode_bytes(array), np.uint8) if datatype is DataType.BYTES else array
        if flat.nbytes <= _WITHIN_MESSAGE:
            return name, datatype.name, array.shape, flat.tobytes(), 0, flat.nbytes
        return name, datatype.name, array.shape, None, self._pool.write(flat, self._announce), flat.nbytes

    def unpack(self, data: TensorData) -> pb_utils.Tensor:
        """Make the tensor of a message."""
        return pb_utils.Tensor.around(data[0], self.array(data))

    def array(self, data: TensorData) -> Array:
        """Make the array of a tensor's message. Its memory is the reader's to write to."""
        _, datatype, shape, content, block, size = data
        if datatype == "BYTES":
            if content is None:
                content = self._views.array(block, np.dtype(np.uint8), (size,)).tobytes()
            return decode_bytes(content).reshape(shape)
        if content is None:
            return self._views.array(block, _DTYPES[datatype], shape)
        return np.ndarray(shape, _DTYPES[datatype], bytearray(content))

    def pack_all(self, tensors: Iterable[pb_utils.Tensor]) -> tuple[TensorData, ...]:
        """Make the messages of several tensors."""
        return tuple([self.pack(tensor.name(), tensor.data) for tensor in tensors])

    def pack_served(self, request: ServedRequest, key: int) -> Plain:
        """Make the message of a request that the server took, with the fields of `RequestData`."""
        core = request.core
        return (
            key,
            tuple([self.pack(name, tensor) for name, tensor in request.tensors().items()]),
            core.id,
            core.correlation_id,
            tuple(request.wanted),
            core.model_name,
            -1 if core.model_version is None else core.model_version,
            core.flags,
            core.timeout_us,
            dict(core.parameters),
            None if core.trace is None else trace_context(core),
        )

    def pack_request(self, request: pb_utils.InferenceRequest) -> Plain:
        """Make the message of a call, with the fields of `RequestData`."""
        return (
            0,
            self.pack_all(request.inputs()),
            request.request_id(),
            request.correlation_id(),
            tuple(request.requested_output_names()),
            request.model_name(),
            request.model_version(),
            request.flags(),
            request.timeout(),
            dict(request.parameter_values()),
            request.trace().get_context(),
        )

    def unpack_request(self, told: Plain) -> pb_utils.InferenceRequest:
        """Make the request of a call's message."""
        data = RequestData._make(told)
        return pb_utils.InferenceRequest(
            data.request_id,
            data.correlation_id,
            [self.unpack(tensor) for tensor in data.inputs],
            data.requested_outputs,
            data.model_name,
            data.model_version,
            data.flags,
            data.timeout,
            trace=pb_utils.InferenceTrace(data.trace),
            parameters=data.parameters,
        )

    def pack_response(self, response: pb_utils.InferenceResponse) -> ResponseData:
        """Make the message of a response. The outputs of an error are not sent."""
        error = response.error()
        if error is not None:
            return (), (error.message(), error.code()), response.parameter_values()
        return self.pack_all(response.output_tensors()), None, response.parameter_values()

    def unpack_answer(self, data: ResponseData) -> ReceivedAnswer:
        """Make what a message has of a model's answer, for the server."""
        outputs, told, parameters = data
        error = None if told is None else pb_utils.TritonError(*told)
        return ReceivedAnswer({output[0]: self.array(output) for output in outputs}, error, parameters)

    def unpack_response(self, data: ResponseData) -> pb_utils.InferenceResponse:
        """Make the response of a message, for a model that has called another one."""
        outputs, told, parameters = data
        error = None if told is None else pb_utils.TritonError(*told)
        return pb_utils.InferenceResponse.around([self.unpack(output) for output in outputs], error, parameters)

"""Tensors into messages and back: small ones within the message, others in blocks of shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import triton_python_backend_utils as pb_utils
from charonia.datatypes import DataType
from charonia.tensor import as_numpy, decode_bytes, encode_bytes

from charonia_backend_custom.process.messages import ResponseData, TensorData
from charonia_backend_custom.string_tensors import with_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charonia.tensor import Array, Tensor

    from charonia_backend_custom.process.blocks import BlockPool, BlockViews

__all__ = ["TensorCarrier"]

_WITHIN_MESSAGE = 1 << 14
"""Up to 16 KiB, a copy through the socket costs less than a block."""


class TensorCarrier:
    """Carries tensors, and responses with theirs, over one line.

    Args:
        pool: where this side writes.
        views: what the other side has written.
    """

    def __init__(self, pool: BlockPool, views: BlockViews) -> None:
        self._pool = pool
        self._views = views

    def pack(self, name: str, tensor: Tensor) -> TensorData:
        """Make the message of a tensor. What lies on a device is brought to the CPU."""
        array = as_numpy(with_bytes(tensor))
        datatype = DataType.of_dtype(array.dtype)
        flat = np.frombuffer(encode_bytes(array), np.uint8) if datatype is DataType.BYTES else array
        if flat.nbytes <= _WITHIN_MESSAGE:
            return TensorData(name, datatype.name, array.shape, flat.tobytes(), 0, flat.nbytes)
        return TensorData(name, datatype.name, array.shape, None, self._pool.write(flat), flat.nbytes)

    def unpack(self, data: TensorData) -> pb_utils.Tensor:
        """Make the tensor of a message. Its memory is the reader's to write to."""
        datatype = DataType[data.datatype]
        return pb_utils.Tensor.around(data.name, self._array(data, datatype))

    def _array(self, data: TensorData, datatype: DataType) -> Array:
        if datatype is DataType.BYTES:
            content = data.content
            if content is None:
                content = self._views.array(data.block, np.dtype(np.uint8), (data.size,)).tobytes()
            array: Array = np.empty(data.shape, np.object_)
            array.ravel()[:] = decode_bytes(content)
            return array
        if data.content is None:
            return self._views.array(data.block, datatype.dtype, data.shape)
        return np.frombuffer(bytearray(data.content), datatype.dtype).reshape(data.shape)

    def pack_all(self, tensors: Iterable[pb_utils.Tensor]) -> tuple[TensorData, ...]:
        """Make the messages of several tensors."""
        return tuple(self.pack(tensor.name(), tensor.data) for tensor in tensors)

    def pack_response(self, response: pb_utils.InferenceResponse) -> ResponseData:
        """Make the message of a response. The outputs of an error are not sent."""
        error = response.error()
        told = None if error is None else (error.message(), error.code())
        outputs = self.pack_all(response.output_tensors()) if error is None else ()
        return ResponseData(outputs, told, response.parameter_values())

    def unpack_response(self, data: ResponseData) -> pb_utils.InferenceResponse:
        """Make the response of a message."""
        error = None if data.error is None else pb_utils.TritonError(*data.error)
        return pb_utils.InferenceResponse([self.unpack(output) for output in data.outputs], error, data.parameters)

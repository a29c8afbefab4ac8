"""The control inputs: tensors that tell the model about its sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.request import SEQUENCE_END, SEQUENCE_START
from charonia_protos.model_config_pb2 import ModelSequenceBatching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.tensor import Array

__all__ = ["Controls"]

_START = ModelSequenceBatching.Control.CONTROL_SEQUENCE_START
_END = ModelSequenceBatching.Control.CONTROL_SEQUENCE_END
_READY = ModelSequenceBatching.Control.CONTROL_SEQUENCE_READY
_ID = ModelSequenceBatching.Control.CONTROL_SEQUENCE_CORRID

_PAIRS = {
    "int32_false_true": DataType.INT32,
    "fp32_false_true": DataType.FP32,
    "bool_false_true": DataType.BOOL,
}


class _Pair:
    """A control that is one of two values. The tensors are the same for all requests, so that they cannot be written to."""

    def __init__(self, control: ModelSequenceBatching.Control, shape: tuple[int, ...]) -> None:
        field, datatype = next((field, datatype) for field, datatype in _PAIRS.items() if getattr(control, field))
        self._tensors = [np.full(shape, value, datatype.dtype) for value in getattr(control, field)]
        for tensor in self._tensors:
            tensor.flags.writeable = False

    def of(self, *, true: bool) -> Array:
        return self._tensors[true]


class _CorrelationId:
    """The control that is the sequence's id."""

    def __init__(self, name: str, control: ModelSequenceBatching.Control, shape: tuple[int, ...]) -> None:
        self.name = name
        self.datatype = DataType.of_number(control.data_type)
        self._shape = shape

    def of(self, correlation_id: int | str) -> Array:
        if self.datatype is DataType.BYTES:
            tensor = np.empty(self._shape, np.object_)
            tensor.fill(str(correlation_id or "").encode())
            return tensor
        # As in the reference, 32 bits get the low half.
        bits = np.full(self._shape, correlation_id, "<u8").view(self.datatype.dtype)
        return bits[..., :1]


class Controls:
    """The control inputs of one model. Their shape is [1, 1] where it batches, else [1].

    Args:
        config: the model's configuration, complete and normalised.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._model = config.name
        shape = (1, 1) if config.max_batch_size > 0 else (1,)
        self._pairs: list[tuple[str, int, _Pair]] = []
        self._id: _CorrelationId | None = None
        for tensor in config.sequence_batching.control_input:
            for control in tensor.control:
                if control.kind == _ID:
                    self._id = _CorrelationId(tensor.name, control, shape)
                else:
                    self._pairs.append((tensor.name, control.kind, _Pair(control, shape)))

    def check(self, request: InferenceRequest) -> None:
        """Check that a request's correlation id is of the kind that the model takes.

        Raises:
            InvalidArgumentError: it is not.
        """
        if self._id is None:
            return
        text = isinstance(request.correlation_id, str)
        if text != (self._id.datatype is DataType.BYTES):
            raise InvalidArgumentError(
                f"[request id: {request.id or '<id_unknown>'}] sequence batching control '{self._id.name}' data-type is "
                f"'{'BYTES' if text else 'UINT64'}', but model '{self._model}' expects '{self._id.datatype.name}'"
            )

    def of(self, flags: int, correlation_id: int | str) -> Mapping[str, Array]:
        """Give the control inputs of a request.

        Args:
            flags: 1 where it starts its sequence, 2 where it ends it, 3 for both.
            correlation_id: the sequence's id.
        """
        truth: dict[int, bool] = {_START: bool(flags & SEQUENCE_START), _END: bool(flags & SEQUENCE_END), _READY: True}
        return self._tensors(truth, correlation_id)

    def of_nobody(self) -> Mapping[str, Array]:
        """Give the control inputs of a place in the batch that has no request."""
        return self._tensors({}, 0)

    def _tensors(self, truth: Mapping[int, bool], correlation_id: int | str) -> dict[str, Array]:
        tensors = {name: pair.of(true=truth.get(kind, False)) for name, kind, pair in self._pairs}
        if self._id is not None:
            tensors[self._id.name] = self._id.of(correlation_id)
        return tensors

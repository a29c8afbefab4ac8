"""What the requests of one batch must have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.tensor import as_numpy

if TYPE_CHECKING:
    from collections.abc import Hashable

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest

__all__ = ["BatchSignature"]


class BatchSignature:
    """Tells which requests can be in one batch: those whose signatures are equal.

    As in the reference, these are the shapes of inputs whose size is variable and that are not ragged, without the batch
    dimension; which of the optional inputs are there; and the elements of shape tensors. Nothing else is compared.

    Args:
        config: the model's configuration, complete and normalised.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._lead = 1 if config.max_batch_size > 0 else 0
        self._shaped = [tensor.name for tensor in config.input if -1 in tensor.dims and not tensor.allow_ragged_batch]
        self._optional = [tensor.name for tensor in config.input if tensor.optional and tensor.name not in self._shaped]
        self._shape_tensors = [tensor.name for tensor in config.input if tensor.is_shape_tensor]

    @property
    def is_constant(self) -> bool:
        """Whether all requests of the model have the same signature."""
        return not self._shaped and not self._optional and not self._shape_tensors

    def of(self, request: InferenceRequest) -> Hashable:
        """Give a request's signature."""
        inputs = request.inputs
        parts: list[Hashable] = []
        for name in self._shaped:
            tensor = inputs.get(name)
            parts.append(None if tensor is None else tuple(tensor.shape[self._lead :]))
        parts += [name in inputs for name in self._optional]
        for name in self._shape_tensors:
            tensor = inputs.get(name)
            parts.append(None if tensor is None else as_numpy(tensor)[self._lead and slice(0, 1)].tobytes())
        return tuple(parts)

"""What the requests of one batch must have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.tensor import Tensor

__all__ = ["BatchSignature"]


class BatchSignature:
    """Tells which requests can be in one batch: those whose signatures are equal.

    These are the shapes of inputs and states whose size is variable and that are not ragged, and which of the optional inputs
    are there.

    Args:
        config: the model's configuration, complete and normalised.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._inputs = [tensor.name for tensor in config.input if -1 in tensor.dims and not tensor.allow_ragged_batch]
        self._optional = [tensor.name for tensor in config.input if tensor.optional and tensor.name not in self._inputs]
        self._states = [state.input_name for state in config.sequence_batching.state if -1 in state.dims]
        self.is_constant = not self._inputs and not self._optional and not self._states

    def of(self, request: InferenceRequest, state: Mapping[str, Tensor]) -> Hashable:
        """Give the signature of a request that is executed with a state."""
        inputs = request.inputs
        shapes = tuple(tuple(inputs[name].shape) if name in inputs else None for name in self._inputs)
        states = tuple(tuple(state[name].shape) for name in self._states)
        return shapes, states, tuple(name in inputs for name in self._optional)

"""From the requests of a batch to one array per input, and from one array per output back to a response for each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from charonia.errors import InternalError
from charonia.request import InferenceRequest, InferenceResponse
from charonia.tensor import Array, Tensor, as_numpy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.config import ModelConfig
    from charonia.ragged import RaggedBatches

__all__ = ["TensorLayout"]


class TensorLayout:
    """How the tensors of a model's requests become the arrays that its backend computes on.

    Requests carry the shapes of the configuration's `dims`; a backend sees those of `reshape` where the configuration has
    one. Where max_batch_size is 1 or more, both have the batch dimension in front.

    Args:
        config: the model's configuration, complete and normalised.
        ragged: what is ragged in the model's batches, if anything is, and the backend's arrays are to be whole batches.
    """

    def __init__(self, config: ModelConfig, ragged: RaggedBatches | None = None) -> None:
        self._ragged = ragged
        self._model = config.name
        self._batching = config.max_batch_size > 0
        self._input_reshapes = {
            tensor.name: (tuple(tensor.dims), tuple(tensor.reshape.shape))
            for tensor in config.input
            if tensor.HasField("reshape")
        }
        self._output_reshapes = {
            tensor.name: (tuple(tensor.reshape.shape), tuple(tensor.dims))
            for tensor in config.output
            if tensor.HasField("reshape")
        }

    def gather(self, requests: Sequence[InferenceRequest]) -> Mapping[str, Tensor]:
        """Concatenate the requests' inputs along the batch dimension. A lone request's inputs are passed on uncopied.

        Ragged inputs are laid end to end, and the inputs that describe them are added.

        All requests must have the same set of inputs, which the scheduler sees to.
        """
        first = requests[0].inputs
        if len(requests) == 1 and not self._input_reshapes and self._ragged is None:
            return first
        gathered = {name: self._gathered(requests, name) for name in first}
        if self._ragged is not None:
            gathered.update(self._ragged.describe(requests))
        return gathered

    def _gathered(self, requests: Sequence[InferenceRequest], name: str) -> Tensor:
        if self._ragged is not None and name in self._ragged.inputs:
            return self._ragged.join(requests, name)
        if len(requests) == 1:
            return self._reshaped_input(name, requests[0].inputs[name])
        return self._reshaped_input(name, np.concatenate([as_numpy(request.inputs[name]) for request in requests]))

    def split(self, requests: Sequence[InferenceRequest], outputs: Mapping[str, Tensor]) -> list[InferenceResponse]:
        """Cut the outputs along the batch dimension into a response for each request, with the outputs that it asked for.

        Raises:
            InternalError: an output cannot be cut, because its first dimension is not the batch's size, or it has not as many
                elements as the shapes by which it is to be cut.
        """
        if self._ragged is None or not self._ragged.outputs:
            return self._split_whole(requests, outputs)
        ragged = {
            name: self._ragged.cut(requests, name, tensor)
            for name, tensor in outputs.items()
            if name in self._ragged.outputs
        }
        rest = {name: tensor for name, tensor in outputs.items() if name not in ragged}
        return [
            InferenceResponse(
                {
                    name: ragged[name][place] if name in ragged else response.outputs[name]
                    for name in outputs
                    if _is_wanted(request, name)
                }
            )
            for place, (request, response) in enumerate(zip(requests, self._split_whole(requests, rest), strict=True))
        ]

    def _split_whole(
        self, requests: Sequence[InferenceRequest], outputs: Mapping[str, Tensor]
    ) -> list[InferenceResponse]:
        if self._output_reshapes:
            outputs = {name: self._reshaped_output(name, tensor) for name, tensor in outputs.items()}
        if len(requests) == 1:
            wanted = requests[0].requested_outputs
            if wanted:
                outputs = {name: tensor for name, tensor in outputs.items() if name in wanted}
            return [InferenceResponse(outputs)]
        total = sum(request.batch_size for request in requests)
        arrays = {name: self._divisible(name, tensor, total) for name, tensor in outputs.items()}
        responses = []
        start = 0
        for request in requests:
            end = start + request.batch_size
            responses.append(
                InferenceResponse(
                    {name: array[start:end] for name, array in arrays.items() if _is_wanted(request, name)}
                )
            )
            start = end
        return responses

    def _divisible(self, name: str, tensor: Tensor, total: int) -> Array:
        array = as_numpy(tensor)
        if array.ndim == 0 or array.shape[0] != total:
            raise InternalError(
                f"output '{name}' of model '{self._model}' has shape {list(array.shape)}, but its first dimension must be "
                f"the batch's size {total}: set max_batch_size to 0 if the model does not batch"
            )
        return array

    def _reshaped_input(self, name: str, tensor: Tensor) -> Tensor:
        shapes = self._input_reshapes.get(name)
        return tensor if shapes is None else self._reshape(as_numpy(tensor), *shapes)

    def _reshaped_output(self, name: str, tensor: Tensor) -> Tensor:
        shapes = self._output_reshapes.get(name)
        if shapes is None:
            return tensor
        array = as_numpy(tensor)
        try:
            return self._reshape(array, *shapes)
        except ValueError as error:
            raise InternalError(
                f"output '{name}' of model '{self._model}' has shape {list(array.shape)}, which does not fit its reshape "
                f"{list(shapes[0])} and so cannot become its dims {list(shapes[1])}"
            ) from error

    def _reshape(self, array: Array, source: tuple[int, ...], target: tuple[int, ...]) -> Array:
        """Reshape an array of shape `source` to `target`. Their variable dimensions correspond in order, and keep their sizes."""
        lead = array.shape[:1] if self._batching else ()
        actual = array.shape[len(lead) :]
        if len(actual) != len(source):
            raise ValueError(f"rank {len(actual)} is not {len(source)}")
        variable = iter([size for size, declared in zip(actual, source, strict=True) if declared == -1])
        return array.reshape((*lead, *(next(variable) if size == -1 else size for size in target)))


def _is_wanted(request: InferenceRequest, output: str) -> bool:
    return not request.requested_outputs or output in request.requested_outputs

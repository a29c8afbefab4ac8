"""Ragged batches: requests of different shapes in one execution.

The inputs that may be ragged are laid end to end, without any shape; further inputs, which the configuration describes, tell the
model where each begins; and outputs of the same shapes are cut back.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
from charonia_protos.model_config_pb2 import BatchInput

from charonia.datatypes import DataType
from charonia.errors import InternalError
from charonia.tensor import as_numpy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.tensor import Array, Tensor

__all__ = ["RaggedBatches"]

_Shape = tuple[int, ...]
"""A request's input's, with the batch dimension where the model batches."""


def _counts(shapes: Sequence[_Shape]) -> list[int]:
    return [math.prod(shape) for shape in shapes]


def _item_shapes(shapes: Sequence[_Shape]) -> list[_Shape]:
    """Give the shape of each element of the batch, without the batch dimension."""
    return [shape[1:] for shape in shapes for _ in range(shape[0])]


_MAKERS: dict[int, Callable[[Sequence[_Shape]], object]] = {
    BatchInput.BATCH_ELEMENT_COUNT: _counts,
    BatchInput.BATCH_ACCUMULATED_ELEMENT_COUNT: lambda shapes: list(accumulate(_counts(shapes))),
    BatchInput.BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO: lambda shapes: [0, *accumulate(_counts(shapes))],
    BatchInput.BATCH_MAX_ELEMENT_COUNT_AS_SHAPE: lambda shapes: [0] * max(_counts(shapes)),
    BatchInput.BATCH_ITEM_SHAPE: _item_shapes,
    BatchInput.BATCH_ITEM_SHAPE_FLATTEN: lambda shapes: [size for shape in _item_shapes(shapes) for size in shape],
}
"""What a `batch_input` says of the shapes of its source, by kind."""


class RaggedBatches:
    """The ragged inputs of a model, the inputs that describe them, and the outputs that are cut like them.

    Args:
        config: the model's configuration, complete and normalised.

    Attributes:
        inputs: the names of the inputs that are laid end to end.
        outputs: by name, the input whose shapes an output's parts have.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._model = config.name
        self._batching = config.max_batch_size > 0
        self.inputs = frozenset(tensor.name for tensor in config.input if tensor.allow_ragged_batch)
        self._made = [
            (list(made.target_name), _MAKERS[made.kind], DataType.of_number(made.data_type).dtype, made.source_input[0])
            for made in config.batch_input
        ]
        self.outputs = {name: cut.source_input[0] for cut in config.batch_output for name in cut.target_name}
        self._dims = {tensor.name: tuple(tensor.dims) for tensor in config.output}

    @classmethod
    def of(cls, config: ModelConfig) -> RaggedBatches | None:
        """Make it for a model that has anything of the kind, else give None."""
        ragged = cls(config)
        return ragged if ragged.inputs or ragged.outputs or config.batch_input else None

    def join(self, requests: Sequence[InferenceRequest], name: str) -> Array:
        """Lay an input of the requests end to end: one dimension, all elements, in the order of the requests."""
        parts = [as_numpy(request.inputs[name]).reshape(-1) for request in requests]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def describe(self, requests: Sequence[InferenceRequest]) -> Mapping[str, Array]:
        """Make the inputs that describe the requests' shapes; those of an optional input that is absent are left out."""
        described: dict[str, Array] = {}
        for targets, make, dtype, source in self._made:
            if source in requests[0].inputs:
                array = np.array(make([self._shape(request, source) for request in requests]), dtype)
                described.update(dict.fromkeys(targets, array))
        return described

    def cut(self, requests: Sequence[InferenceRequest], name: str, output: Tensor) -> list[Array]:
        """Cut an output into the requests' parts, each of the shape of the request's input, where the dims are variable.

        Raises:
            InternalError: the output has more or fewer elements.
        """
        array = as_numpy(output)
        shapes = [self._part_shape(name, self._shape(request, self.outputs[name])) for request in requests]
        ends = list(accumulate(_counts(shapes)))
        if array.size != ends[-1]:
            raise InternalError(
                f"output '{name}' of model '{self._model}' has {array.size} elements, but the shapes of input "
                f"'{self.outputs[name]}', by which batch_output cuts it, make {ends[-1]}"
            )
        parts = np.split(array.reshape(-1), ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _shape(self, request: InferenceRequest, name: str) -> _Shape:
        shape = tuple(request.inputs[name].shape)
        return shape if self._batching else (1, *shape)

    def _part_shape(self, name: str, source: _Shape) -> _Shape:
        """Give the shape of an output's part: its dims, the variable ones as in the source at the same place."""
        item = source[1:]
        dims = [
            item[place] if size == -1 and place < len(item) else size for place, size in enumerate(self._dims[name])
        ]
        return (source[0], *dims) if self._batching else tuple(dims)

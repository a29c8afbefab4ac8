"""Padding: inputs grow to a few sizes, so that requests of different sizes share a batch, and outputs are cut back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.request import InferenceResponse
from charonia.tensor import as_numpy

from charonia_scheduler_dynamic.stand_in import stand_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.tensor import Array, Tensor

__all__ = ["Padding"]

_MULTIPLE = "pad_to_multiple."
_BUCKETS = "pad_to_buckets."
_VALUE = "pad_value."
_CUT = "cut_output."


@dataclass(frozen=True)
class _Padded:
    """How one input grows.

    Attributes:
        axes: its variable dimensions, the batch dimension counted.
        multiple: sizes grow to the next multiple of it; 0 where there are buckets.
        buckets: sizes grow to the next of these; a greater one stays as it is.
        value: what is filled in.
    """

    axes: tuple[int, ...]
    multiple: int
    buckets: tuple[int, ...]
    value: object

    def grown(self, size: int) -> int:
        """Tell the size to which `size` grows."""
        if self.multiple:
            return -(-size // self.multiple) * self.multiple
        return next((bucket for bucket in self.buckets if bucket >= size), size)

    def pad(self, array: Array) -> Array:
        """Give the array with its variable dimensions grown; the array itself where nothing is to be filled in."""
        widths = [(0, 0)] * array.ndim
        for axis in self.axes:
            widths[axis] = (0, self.grown(array.shape[axis]) - array.shape[axis])
        if not any(after for _, after in widths):
            return array
        padded = np.full(
            [size + after for size, (_, after) in zip(array.shape, widths, strict=True)], self.value, array.dtype
        )
        padded[tuple(slice(size) for size in array.shape)] = array
        return padded


class Padding:
    """The padding that the parameters of a model ask for.

    `pad_to_multiple.INPUT` or `pad_to_buckets.INPUT` name an input whose variable dimensions grow, `pad_value.INPUT` what is
    filled in, 0 if not given; `cut_output.OUTPUT` names the input by whose sizes, before they grew, an output is cut: its first
    variable dimension by the input's first, and so on.

    Args:
        config: the model's configuration, complete and normalised.

    Raises:
        InvalidArgumentError: a parameter names no such tensor, or has a value that cannot be.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._model = config.name
        lead = 1 if config.max_batch_size > 0 else 0
        dims = {tensor.name: tensor.dims for tensor in config.input}
        dims |= {tensor.name: tensor.dims for tensor in config.output}
        self._axes = {
            name: tuple(place + lead for place, size in enumerate(sizes) if size == -1) for name, sizes in dims.items()
        }
        self._datatypes = {tensor.name: DataType.of_number(tensor.data_type) for tensor in config.input}
        self._outputs = {tensor.name for tensor in config.output}
        said = {key: value.string_value for key, value in config.parameters.items()}
        self._padded = {
            name: self._read(name, said) for prefix in (_MULTIPLE, _BUCKETS) for name in self._names(prefix, said)
        }
        self._cuts = {name: said[_CUT + name] for name in self._names(_CUT, said)}
        for name in self._names(_VALUE, said):
            self._check(name in self._padded, _VALUE + name, name, "an input that is padded")
        for name, source in self._cuts.items():
            self._check(name in self._outputs, _CUT + name, name, "an output of the model")
            self._check(source in self._padded, _CUT + name, source, "an input that is padded")

    @staticmethod
    def _names(prefix: str, said: Mapping[str, str]) -> list[str]:
        return [key.removeprefix(prefix) for key in said if key.startswith(prefix)]

    def _check(self, right: object, parameter: str, found: str, expected: str) -> None:
        if not right:
            raise InvalidArgumentError(
                f"parameter '{parameter}' of model '{self._model}': expected {expected}, found '{found}'"
            )

    def _read(self, name: str, said: Mapping[str, str]) -> _Padded:
        parameter = _MULTIPLE + name if _MULTIPLE + name in said else _BUCKETS + name
        self._check(name in self._datatypes and self._axes[name], parameter, name, "an input with a variable dimension")
        parts = said[parameter].split(",")
        right = all(part.strip().isdecimal() and int(part) > 0 for part in parts)
        wanted = "sizes of 1 or more, such as 16,32,64" if parameter.startswith(_BUCKETS) else "a number of 1 or more"
        self._check(right and (parameter.startswith(_BUCKETS) or len(parts) == 1), parameter, said[parameter], wanted)
        sizes = sorted(int(part) for part in parts)
        single = sizes[0] if parameter.startswith(_MULTIPLE) else 0
        return _Padded(self._axes[name], single, () if single else tuple(sizes), self._value(name, said))

    def _value(self, name: str, said: Mapping[str, str]) -> object:
        text = said.get(_VALUE + name, "")
        datatype = self._datatypes[name]
        if datatype is DataType.BYTES:
            return text.encode()
        try:
            return datatype.dtype.type(float(text or 0))
        except (ValueError, OverflowError):
            raise InvalidArgumentError(
                f"parameter '{_VALUE}{name}' of model '{self._model}': expected a number, found '{text}'"
            ) from None

    @classmethod
    def of(cls, config: ModelConfig) -> Padding | None:
        """Make it for a model that asks for any, else give None."""
        prefixes = (_MULTIPLE, _BUCKETS, _VALUE, _CUT)
        return cls(config) if any(key.startswith(prefixes) for key in config.parameters) else None

    def pad(self, request: InferenceRequest) -> InferenceRequest:
        """Give the request that is executed in the stead of this one: with grown inputs, and its outputs cut back."""
        inputs: dict[str, Tensor] = dict(request.inputs)
        sizes: dict[str, list[int]] = {}
        for name, padded in self._padded.items():
            if name in inputs:
                array = as_numpy(inputs[name])
                sizes[name] = [array.shape[axis] for axis in padded.axes]
                inputs[name] = padded.pad(array)
        return stand_in(request, inputs, lambda response: request.respond(self._cut(response, sizes)))

    def _cut(self, response: InferenceResponse, sizes: Mapping[str, list[int]]) -> InferenceResponse:
        if not self._cuts or not response.outputs:
            return response
        outputs = dict(response.outputs)
        for name, source in self._cuts.items():
            if name in outputs and source in sizes:
                array = as_numpy(outputs[name])
                window = [slice(None)] * array.ndim
                for axis, size in zip(self._axes[name], sizes[source], strict=False):
                    window[axis] = slice(size)
                outputs[name] = array[tuple(window)]
        return InferenceResponse(outputs, parameters=response.parameters, final=response.final)

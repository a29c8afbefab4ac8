"""What a model takes and gives, and the check of a request against it.

The tables are computed when the model loads. The check has a quick way for requests that are right, which is a few dictionary
look-ups, and a thorough one that finds out what is wrong, in the reference's order and wording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.tensor import MalformedTensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest

__all__ = ["Signature", "TensorSpec"]

_BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each input "
    "shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: its name.
        datatype: its datatype.
        dims: the dimensions of the configuration, without the batch; -1 is any size.
        shape: what the protocol shows: `dims`, with -1 in front where the model batches.
        optional: whether a request may leave the input out.
        label_filename: the file with the labels of an output's elements, or "".
    """

    name: str
    datatype: DataType
    dims: tuple[int, ...]
    shape: tuple[int, ...]
    optional: bool = False
    label_filename: str = ""


class Signature:
    """The inputs and outputs of a model version.

    Args:
        config: the model's configuration, complete and normalised.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.model = config.name
        self.max_batch_size = config.max_batch_size
        lead = (-1,) if config.max_batch_size > 0 else ()
        self.inputs: Mapping[str, TensorSpec] = {
            tensor.name: TensorSpec(
                tensor.name,
                DataType.of_number(tensor.data_type),
                tuple(tensor.dims),
                (*lead, *tensor.dims),
                optional=tensor.optional,
            )
            for tensor in config.input
        }
        self.outputs: Mapping[str, TensorSpec] = {
            tensor.name: TensorSpec(
                tensor.name,
                DataType.of_number(tensor.data_type),
                tuple(tensor.dims),
                (*lead, *tensor.dims),
                label_filename=tensor.label_filename,
            )
            for tensor in config.output
        }
        self._required = frozenset(name for name, spec in self.inputs.items() if not spec.optional)
        self._quick: Mapping[str, tuple[np.dtype, tuple[int, ...], bool]] = {
            name: (spec.datatype.dtype, spec.dims, -1 in spec.dims) for name, spec in self.inputs.items()
        }

    def check(self, request: InferenceRequest) -> None:
        """Check a request against the model, and set its batch size.

        Raises:
            InvalidArgumentError: the request does not fit, with the reference's text.
        """
        alike = request.alike
        if alike is not None and alike.fits is self:
            request.batch_size = alike.batch_size
            return
        for name in request.requested_outputs:
            if name not in self.outputs:
                raise InvalidArgumentError(f"unexpected inference output '{name}' for model '{self.model}'")
        if not self._is_plainly_right(request):
            self._explain(request)
        if alike is not None:
            alike.fits, alike.batch_size = self, request.batch_size

    def _is_plainly_right(self, request: InferenceRequest) -> bool:
        inputs = request.inputs
        if not self._required <= inputs.keys():
            return False
        batching = self.max_batch_size > 0
        batch_size = 0
        for name, tensor in inputs.items():
            expected = self._quick.get(name)
            if expected is None:
                return False
            dtype, dims, variable = expected
            shape = tensor.shape
            if batching:
                if not shape or (batch_size and shape[0] != batch_size):
                    return False
                batch_size = shape[0]
                shape = shape[1:]
            if getattr(tensor, "dtype", _NO_DTYPE) != dtype or (
                shape != dims and not (variable and _matches(shape, dims))
            ):
                return False
        if batching:
            if not 0 < batch_size <= self.max_batch_size:
                return False
            request.batch_size = batch_size
        return True

    def _explain(self, request: InferenceRequest) -> None:
        """Find the first thing that is wrong; nothing may be wrong after all, with tensors that are not numpy's."""
        who = f"[request id: {request.id or '<id_unknown>'}] "
        self._check_count(request, who)
        unknown = next((name for name in request.inputs if name not in self.inputs), None)
        if unknown is not None:
            raise InvalidArgumentError(f"unexpected inference input '{unknown}' for model '{self.model}'")
        self._check_required(request, who)
        self._check_batch(request, who)
        for name, tensor in request.inputs.items():
            self._check_input(self.inputs[name], tensor, who)
        if self.max_batch_size > 0 and request.batch_size == 0:
            name, tensor = next(iter(request.inputs.items()))
            spec = self.inputs[name]
            elements = 1
            for size in tensor.shape[1:]:
                elements *= size
            raise InvalidArgumentError(
                f"{who}input byte size mismatch for input '{name}' for model '{self.model}'. "
                f"Expected {elements * spec.datatype.size}, got 0"
            )

    def _check_count(self, request: InferenceRequest, who: str) -> None:
        given, most, least = len(request.inputs), len(self.inputs), len(self._required)
        if least <= given <= most:
            return
        wanted = f"{most} inputs" if least == most else f"number of inputs between {least} and {most}"
        self._refuse_set(request, f"{who}expected {wanted} but got {given} inputs for model '{self.model}'.")

    def _check_required(self, request: InferenceRequest, who: str) -> None:
        if not self._required <= request.inputs.keys():
            self._refuse_set(
                request,
                f"{who}expected {len(self._required)} required inputs but got {len(request.inputs)} inputs for model "
                f"'{self.model}'.",
            )

    def _refuse_set(self, request: InferenceRequest, sentence: str) -> NoReturn:
        got = ",".join(f"'{name}'" for name in request.inputs)
        missing = ",".join(f"'{name}'" for name in self.inputs if name in self._required and name not in request.inputs)
        raise InvalidArgumentError(
            f"{sentence} Got input(s) [{got}], but missing required input(s) [{missing}]. Please provide all required input(s)."
        )

    def _check_batch(self, request: InferenceRequest, who: str) -> None:
        if self.max_batch_size == 0:
            return
        batch_size: int | None = None
        for name, tensor in request.inputs.items():
            if not tensor.shape:
                raise InvalidArgumentError(
                    f"{who}input '{name}' has no shape but model requires batch dimension for '{self.model}'"
                )
            if batch_size is None:
                batch_size = tensor.shape[0]
            elif tensor.shape[0] != batch_size:
                raise InvalidArgumentError(
                    f"{who}input '{name}' batch size does not match other inputs for '{self.model}'"
                )
        request.batch_size = 1 if batch_size is None else batch_size
        if request.batch_size > self.max_batch_size:
            raise InvalidArgumentError(
                f"{who}inference request batch-size must be <= {self.max_batch_size} for '{self.model}'"
            )

    def _check_input(self, spec: TensorSpec, tensor: object, who: str) -> None:
        datatype, shape = _facts(tensor)
        if datatype is not spec.datatype:
            found = "<invalid>" if datatype is None else datatype.name
            raise InvalidArgumentError(
                f"{who}inference input '{spec.name}' data-type is '{found}', but model '{self.model}' expects "
                f"'{spec.datatype.name}'"
            )
        if any(size < 0 for size in shape):
            raise InvalidArgumentError(
                f"{who}All input dimensions should be specified for input '{spec.name}' for model '{self.model}', got "
                f"{_written(shape)}"
            )
        if not _matches(shape[1:] if self.max_batch_size > 0 else shape, spec.dims):
            raise InvalidArgumentError(
                f"{who}unexpected shape for input '{spec.name}' for model '{self.model}'. Expected {_written(spec.shape)}, "
                f"got {_written(shape)}. " + (_BATCH_NOTE if self.max_batch_size > 0 else "")
            )
        if isinstance(tensor, MalformedTensor):
            raise tensor.error


def _facts(tensor: object) -> tuple[DataType | None, tuple[int, ...]]:
    """Tell a tensor's datatype, None where it is none of the protocol's, and its shape."""
    shape = tuple(getattr(tensor, "shape", ()))
    if isinstance(tensor, MalformedTensor):
        return tensor.datatype, shape
    try:
        return DataType.of_dtype(tensor.dtype), shape  # type: ignore[attr-defined]  # arrays have one; others end below
    except (AttributeError, KeyError):
        # A tensor of another library names its dtypes by itself: "torch.float32". The backend has the last word.
        return _FOREIGN.get(str(getattr(tensor, "dtype", "")).rpartition(".")[2]), shape


_NO_DTYPE = MalformedTensor.dtype
"""What stands for the dtype of something that has none."""

_FOREIGN = {str(datatype.dtype): datatype for datatype in DataType}


def _matches(shape: tuple[int, ...], dims: tuple[int, ...]) -> bool:
    return len(shape) == len(dims) and all(declared in (-1, size) for size, declared in zip(shape, dims, strict=True))


def _written(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"

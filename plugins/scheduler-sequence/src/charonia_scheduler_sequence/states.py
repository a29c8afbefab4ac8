"""What the server keeps for a sequence between its requests: outputs that become the inputs of the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from charonia.datatypes import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.tensor import Array, Tensor, decode_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia.config import ModelConfig
    from charonia_protos.model_config_pb2 import ModelSequenceBatching

__all__ = ["State", "States"]

State: TypeAlias = "dict[str, Tensor]"
"""The states of one sequence, by the names of the inputs."""


class _StateTensor:
    """One state.

    Args:
        setting: the configuration's.
        directory: the model's directory.
        lead: the batch dimension of one request, or ().
    """

    def __init__(self, setting: ModelSequenceBatching.State, directory: Path, lead: tuple[int, ...]) -> None:
        self.input_name = setting.input_name
        self.output_name = setting.output_name
        self._datatype = DataType.of_number(setting.data_type)
        self._shape = (*((-1,) if lead else ()), *setting.dims)
        self._in_place = setting.use_same_buffer_for_input_output
        self._initial = self._initially(setting, directory, lead)

    def _initially(self, setting: ModelSequenceBatching.State, directory: Path, lead: tuple[int, ...]) -> Array:
        if not setting.initial_state:  # the reference leaves open what is there then
            return _zeros(self._datatype, (*lead, *(1 if size == -1 else size for size in setting.dims)))
        initial = setting.initial_state[0]
        shape = (*lead, *initial.dims)
        if initial.data_file:
            return _read(directory / "initial_state", initial.data_file, self._datatype, shape)
        return _zeros(self._datatype, shape)

    def begin(self) -> Array:
        return self._initial.copy()

    def next(self, before: Tensor, output: Tensor) -> Tensor:
        """Give what a model's output makes of the state. A copy, since models may use their outputs' memory again."""
        self._check(output)
        if not isinstance(output, np.ndarray):
            return output
        if self._in_place and isinstance(before, np.ndarray) and before.shape == output.shape:
            before[...] = output
            return before
        return output.copy()

    def _check(self, output: Tensor) -> None:
        shape = tuple(output.shape)
        fits = len(shape) == len(self._shape) and all(
            declared in {-1, size} for size, declared in zip(shape, self._shape, strict=True)
        )
        if not fits:
            raise InternalError(
                f"state '{self.output_name}' has shape {list(shape)}, but the model configuration says "
                f"{list(self._shape)}: correct the model or the dims of the state"
            )
        if isinstance(output, np.ndarray) and output.dtype != self._datatype.dtype:
            raise InternalError(
                f"state '{self.output_name}' is of {output.dtype}, but the model configuration says "
                f"{self._datatype.config_name}: correct the model or the data_type of the state"
            )


class States:
    """The states of one model's sequences.

    Args:
        config: the model's configuration, complete and normalised.
        directory: the model's directory.

    Raises:
        InvalidArgumentError: a file with an initial state is not there, or has another size than the state.
    """

    def __init__(self, config: ModelConfig, directory: Path) -> None:
        lead = (1,) if config.max_batch_size > 0 else ()
        self._tensors = [_StateTensor(state, directory, lead) for state in config.sequence_batching.state]
        told = {output.name for output in config.output}
        self._hidden = frozenset(tensor.output_name for tensor in self._tensors) - told

    def begin(self) -> State:
        """Make the states of a sequence that starts."""
        return {tensor.input_name: tensor.begin() for tensor in self._tensors}

    def next(self, before: State, outputs: Mapping[str, Tensor]) -> State:
        """Give the states that follow from a request's outputs. A state whose output is not there stays as it was.

        Raises:
            InternalError: an output does not fit its state.
        """
        return {
            tensor.input_name: tensor.next(before[tensor.input_name], outputs[tensor.output_name])
            if tensor.output_name in outputs
            else before[tensor.input_name]
            for tensor in self._tensors
        }

    def requested(self, outputs: Sequence[str]) -> tuple[str, ...]:
        """Give the outputs that are to be computed where a client wants some, or () for all."""
        more = [tensor.output_name for tensor in self._tensors if tensor.output_name not in outputs]
        return (*outputs, *more) if outputs else ()

    def alone(self, outputs: Mapping[str, Tensor]) -> bool:
        """Tell whether there are outputs, and all of them are states that no client gets."""
        return bool(outputs) and self._hidden.issuperset(outputs)

    def told(self, outputs: Mapping[str, Tensor], wanted: Sequence[str]) -> Mapping[str, Tensor]:
        """Leave out what the client does not get: states that are no outputs of the model, or that it did not ask for."""
        if not self._tensors:
            return outputs
        return {
            name: tensor
            for name, tensor in outputs.items()
            if name not in self._hidden and (not wanted or name in wanted)
        }


def _zeros(datatype: DataType, shape: tuple[int, ...]) -> Array:
    if datatype is DataType.BYTES:
        return np.full(shape, b"", np.object_)
    return np.zeros(shape, datatype.dtype)


def _read(folder: Path, name: str, datatype: DataType, shape: tuple[int, ...]) -> Array:
    """Read an initial state, in the protocol's encoding of raw tensors."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidArgumentError(f"the initial state '{name}' is outside of the model's folder initial_state")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(
            f"failed to read the initial state '{path.name}': {error.strerror}: put the file into the model's folder "
            "initial_state"
        ) from error
    count = int(np.prod(shape, dtype=np.int64))
    if datatype is not DataType.BYTES:
        _check_size(path, len(data), count * datatype.size, "bytes")
        return np.frombuffer(data, datatype.dtype).reshape(shape)
    try:
        items = decode_bytes(data)
    except ValueError as error:
        raise InvalidArgumentError(f"the initial state '{path.name}' is cut off: {error}") from error
    _check_size(path, len(items), count, "elements")
    return items.reshape(shape)


def _check_size(path: Path, found: int, expected: int, unit: str) -> None:
    if found != expected:
        raise InvalidArgumentError(
            f"initial_state setting expects {expected} {unit}, but the data provided from '{path.name}' is {found} {unit}: "
            "correct the file or the dims of the initial state"
        )

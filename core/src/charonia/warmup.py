"""Warm-up: made-up requests that every instance executes before its model version is ready.

As in the reference, a sample of batch size n is n requests in one execution, samples run in their listed order on every
instance, and they count in the statistics.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.tensor import decode_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from charonia_protos.model_config_pb2 import ModelSequenceBatching, ModelWarmup

    from charonia.config import ModelConfig
    from charonia.tensor import Array

__all__ = ["WarmupSample", "synthetic_samples", "warmup_samples"]

_log = logging.getLogger(__name__)

_NO_SIZE = 1
"""What a dimension of any size has in a synthetic sample."""


@dataclass(frozen=True)
class WarmupSample:
    """One sample.

    Attributes:
        name: its name, for errors.
        batch_size: how many requests one execution has.
        count: how often it is executed.
        inputs: the inputs of each request, with a batch dimension of 1 in front where the model batches.
        internal: likewise, the inputs that no client gives: a sequence's controls and states.
    """

    name: str
    batch_size: int
    count: int
    inputs: Mapping[str, Array]
    internal: Mapping[str, Array] = field(default_factory=dict)


def warmup_samples(config: ModelConfig, directory: Path) -> list[WarmupSample]:
    """Make the samples of a configuration's `model_warmup`, with data from the model's `warmup` folder where it says so.

    A sample may name the controls and states of sequences among its inputs. One of batch size 0 is left out, as in the reference.

    Raises:
        InvalidArgumentError: a sample does not tell all it must, asks for too large a batch, or its file is too short.
    """
    samples = []
    for setting in config.model_warmup:
        if setting.batch_size > max(1, config.max_batch_size):
            raise InvalidArgumentError(
                f"warmup sample '{setting.name}' of model '{config.name}' has batch_size {setting.batch_size}, but the model "
                f"takes at most {max(1, config.max_batch_size)}"
            )
        if setting.batch_size == 0:
            _log.info("model '%s': warmup sample '%s' is skipped, its batch_size is 0", config.name, setting.name)
            continue
        lead = _lead(config)
        tensors = {name: _tensor(name, setting.inputs[name], lead, directory) for name in sorted(setting.inputs)}
        internal = {name: tensors.pop(name) for name, *_ in _internal_inputs(config) if name in tensors}
        samples.append(WarmupSample(setting.name, setting.batch_size, max(1, setting.count), tensors, internal))
    return samples


def synthetic_samples(config: ModelConfig, batch_sizes: Sequence[int]) -> list[WarmupSample]:
    """Make samples of zeros for a model whose configuration has none: one for each batch size, as far as the model takes it.

    A dimension of any size is 1. To a model of sequences, each request is a sequence of its own, which it starts and ends.
    """
    lead = _lead(config)
    inputs = {
        tensor.name: _zeros(DataType.of_number(tensor.data_type), (*lead, *map(_some_size, tensor.dims)))
        for tensor in config.input
    }
    internal = {
        name: np.full((*lead, *dims), value, datatype.dtype) if value else _zeros(datatype, (*lead, *dims))
        for name, datatype, dims, value in _internal_inputs(config)
    }
    sizes = sorted({min(size, max(1, config.max_batch_size)) for size in batch_sizes})
    return [WarmupSample(f"synthetic, batch size {size}", size, 1, inputs, internal) for size in sizes]


def _lead(config: ModelConfig) -> tuple[int, ...]:
    return (1,) if config.max_batch_size > 0 else ()


def _some_size(size: int) -> int:
    return _NO_SIZE if size < 0 else size


def _internal_inputs(config: ModelConfig) -> Iterator[tuple[str, DataType, tuple[int, ...], float]]:
    """Give the inputs that a scheduler of sequences adds to what clients send: name, datatype, dims, and what says "true"."""
    for tensor in config.sequence_batching.control_input:
        for control in tensor.control:
            yield tensor.name, *_control(control)
    for state in config.sequence_batching.state:
        yield state.input_name, DataType.of_number(state.data_type), tuple(map(_some_size, state.dims)), 0


def _control(control: ModelSequenceBatching.Control) -> tuple[DataType, tuple[int, ...], float]:
    for pair, datatype in (
        (control.int32_false_true, DataType.INT32),
        (control.fp32_false_true, DataType.FP32),
        (control.bool_false_true, DataType.BOOL),
    ):
        if pair:
            return datatype, (1,), pair[1]
    return DataType.of_number(control.data_type), (1,), 0


def _tensor(name: str, setting: ModelWarmup.Input, lead: tuple[int, ...], directory: Path) -> Array:
    if any(size < 0 for size in setting.dims):
        raise InvalidArgumentError(
            f"warmup setting expects all variable-size dimensions are specified for input '{name}'"
        )
    try:
        datatype = DataType.of_number(setting.data_type)
    except KeyError:
        raise InvalidArgumentError(f"warmup setting expects input '{name}' to have a data_type") from None
    shape = (*lead, *setting.dims)
    source = setting.WhichOneof("input_data_type")
    if source is None:
        raise InvalidArgumentError(
            f"[request id: <id_unknown>] warmup setting expects input '{name}' to have input_data_type set"
        )
    if source == "input_data_file":
        return _from_file(setting.input_data_file, datatype, shape, directory)
    if source == "zero_data" or datatype is DataType.BYTES:
        return _zeros(datatype, shape)
    return _random(datatype, shape)


def _zeros(datatype: DataType, shape: tuple[int, ...]) -> Array:
    return np.full(shape, b"", np.object_) if datatype is DataType.BYTES else np.zeros(shape, datatype.dtype)


def _random(datatype: DataType, shape: tuple[int, ...]) -> Array:
    generator = np.random.default_rng(0)  # the same data at every load, so that a failure can be repeated
    if datatype.dtype.kind in "iu":
        limits = np.iinfo(datatype.dtype)
        return generator.integers(limits.min, limits.max, shape, dtype=datatype.dtype, endpoint=True)
    if datatype is DataType.BOOL:
        return generator.integers(0, 1, shape, endpoint=True).astype(np.bool_)
    return generator.random(shape).astype(datatype.dtype)


def _from_file(name: str, datatype: DataType, shape: tuple[int, ...], directory: Path) -> Array:
    """Read raw little-endian data; a file longer than needed is read as far as needed, as in the reference."""
    folder = (directory / "warmup").resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise InvalidArgumentError(f"warmup data file {name!r} is outside the model's folder 'warmup'")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"failed to read warmup data file '{path}': {error.strerror}") from error
    elements = int(np.prod(shape, dtype=np.int64))
    if datatype is DataType.BYTES:
        try:
            items = decode_bytes(data)
        except ValueError as error:
            raise InvalidArgumentError(f"warmup data file {name!r} is no sequence of lengths and bytes") from error
        if len(items) < elements:
            raise InvalidArgumentError(f"warmup setting expects {elements} elements, but {name} has {len(items)}")
        return items[:elements].reshape(shape)
    wanted = elements * datatype.size
    if len(data) < wanted:
        raise InvalidArgumentError(
            f"warmup setting expects {wanted} bytes, but the data provided from {name} has {len(data)} bytes"
        )
    return np.frombuffer(data, dtype=datatype.dtype, count=elements).reshape(shape)

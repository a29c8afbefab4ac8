"""Builders of model configurations and model repositories, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import text_format

from charonia.clock import Clock
from charonia.config import ModelConfig
from charonia.datatypes import DataType
from charonia.models import Models, NoModels
from charonia.scheduler import SchedulerContext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TensorTuple", "model_config", "scheduler_context", "write_model"]

TensorTuple = tuple[str, str, list[int]]
"""A tensor as (name, datatype by its wire name, dims)."""


def model_config(
    name: str = "model",
    *,
    backend: str = "arithmetic",
    inputs: Sequence[TensorTuple] = (("INPUT0", "FP32", [16]),),
    outputs: Sequence[TensorTuple] = (("OUTPUT0", "FP32", [16]),),
    max_batch_size: int = 8,
    instance_count: int = 0,
    decoupled: bool = False,
    parameters: Mapping[str, str] | None = None,
) -> ModelConfig:
    """Make a model's configuration.

    Args:
        name: the model's name.
        backend: the backend's name.
        inputs: each as (name, datatype by its wire name, dims without the batch dimension).
        outputs: likewise.
        max_batch_size: 0 for a model without a batch dimension.
        instance_count: how many instances on the CPU; 0 leaves it to the backend.
        decoupled: whether a request may have any number of responses.
        parameters: free settings of the backend.

    Raises:
        ValueError: a datatype is none.
    """
    config = ModelConfig(name=name, backend=backend, max_batch_size=max_batch_size)
    for tensor, datatype, dims in inputs:
        config.input.add(name=tensor, data_type=_number_of(datatype, tensor), dims=dims)
    for tensor, datatype, dims in outputs:
        config.output.add(name=tensor, data_type=_number_of(datatype, tensor), dims=dims)
    if instance_count:
        config.instance_group.add(kind="KIND_CPU", count=instance_count)
    config.model_transaction_policy.decoupled = decoupled
    for key, value in (parameters or {}).items():
        config.parameters[key].string_value = value
    return config


def _number_of(datatype: str, tensor: str) -> int:
    if datatype not in DataType.__members__:
        raise ValueError(
            f"the datatype of tensor '{tensor}' is {datatype!r}: it must be one of {', '.join(DataType.__members__)}"
        )
    return DataType[datatype].number


def scheduler_context(
    config: ModelConfig | None = None,
    *,
    directory: Path | None = None,
    models: Models | None = None,
    clock: Clock | None = None,
) -> SchedulerContext:
    """Make what a scheduler is told: about version 1 of `config`, by default that of `model_config`, without other models."""
    return SchedulerContext(
        model_config() if config is None else config,
        1,
        Path() if directory is None else directory,
        NoModels() if models is None else models,
        Clock() if clock is None else clock,
    )


def write_model(repository: Path, config: ModelConfig, files: Mapping[str, str | bytes] | None = None) -> Path:
    """Write a model into a repository, and give its directory.

    Args:
        repository: the repository's directory; made if it is not there.
        config: written to `config.pbtxt`.
        files: what lies in the model's directory: a path such as `1/model.onnx` → the content. Without any, there is an empty
            version 1.
    """
    directory = repository / config.name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.pbtxt").write_text(text_format.MessageToString(config))
    if not files:
        (directory / "1").mkdir(exist_ok=True)
    for path, content in (files or {}).items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory

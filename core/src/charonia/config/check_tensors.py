"""The checks of a model's inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_protos.model_config_pb2 import DataType, ModelInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia_protos.model_config_pb2 import ModelConfig, ModelOutput

    from charonia.config.problems import Problems

__all__ = ["tensor_problems"]

_VARIABLE = -1
_IMAGE_RANK = 3
_RULE = "must be integer >= 1, or -1 to indicate a variable-size dimension"


def tensor_problems(config: ModelConfig, problems: Problems) -> None:
    """Check that every tensor is complete, and that its shapes go together."""
    for index, tensor in enumerate(config.input):
        where = f"input[{index}]"
        _check_tensor(tensor, "input", where, config, problems)
        if tensor.format != ModelInput.FORMAT_NONE and len(tensor.dims) != _IMAGE_RANK:
            hint = "write three dims, or leave out format"
            problems.add("model input NHWC/NCHW require 3 dims", f"{where}.dims", found=list(tensor.dims), hint=hint)
    for index, output in enumerate(config.output):
        _check_tensor(output, "output", f"output[{index}]", config, problems)


def _check_tensor(
    tensor: ModelInput | ModelOutput, kind: str, where: str, config: ModelConfig, problems: Problems
) -> None:
    if not tensor.name:
        problems.add(f"model {kind} must specify 'name'", where)
        return
    who = f"model {kind} '{tensor.name}'"
    if tensor.data_type == DataType.TYPE_INVALID:
        problems.add(f"{who} must specify 'data_type'", where, hint="such as data_type: TYPE_FP32")
    if not tensor.dims:
        problems.add(f"{who} must specify 'dims'", where, hint="such as dims: [ 3, 224, 224 ]; -1 stands for any size")
    elif not _are_sizes(tensor.dims):
        problems.add(f"{who} dimension {_RULE}", f"{where}.dims", found=list(tensor.dims))
    elif tensor.HasField("reshape"):
        _check_reshape(tensor, who, where, config.max_batch_size, problems)
    if config.platform != "tensorrt_plan":
        if tensor.is_shape_tensor:
            text = "shape tensors are only supported for TensorRT platform"
            problems.add(text, f"{where}.is_shape_tensor", hint="remove the line")
        if tensor.is_non_linear_format_io:
            text = "Non-linear IO format is only supported for the TensorRT platform"
            problems.add(text, f"{where}.is_non_linear_format_io", hint="remove the line")


def _are_sizes(dims: Sequence[int]) -> bool:
    return all(dim >= 1 or dim == _VARIABLE for dim in dims)


def _check_reshape(
    tensor: ModelInput | ModelOutput, who: str, where: str, max_batch_size: int, problems: Problems
) -> None:
    dims, shape, where = list(tensor.dims), list(tensor.reshape.shape), f"{where}.reshape"
    if not shape and max_batch_size == 0:
        text = f"{who} cannot have empty reshape for non-batching model as scalar tensors are not supported"
        problems.add(text, where)
        return
    if not _are_sizes(shape):
        problems.add(f"{who} reshape dimensions {_RULE}", where, found=shape)
        return
    inside, outside = _runs(shape), _runs(dims)
    variable = [len(inside) - 1, len(outside) - 1]
    text = ""
    if all(variable) and variable[0] != variable[1]:
        text = f"{who} has different number of variable-size dimensions for dims and reshape"
    elif inside != outside:
        text = f"{who} has different size for dims and reshape"
    if text:
        hint = "dims and reshape must have as many elements, also between the dimensions of variable size"
        problems.add(text, where, found=f"dims {dims} and reshape {shape}", hint=hint)


def _runs(shape: Sequence[int]) -> list[int]:
    """Count the elements between the dimensions of variable size: [2, 3, -1, 4] → [6, 4]."""
    counts = [1]
    for dim in shape:
        if dim == _VARIABLE:
            counts.append(1)
        else:
            counts[-1] *= dim
    return counts

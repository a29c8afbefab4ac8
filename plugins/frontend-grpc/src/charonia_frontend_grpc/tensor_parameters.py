"""The parameters of one input or output of a request: shared memory and classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError, NotFoundError, UnsupportedError

from charonia_frontend_grpc.parameters import value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia_protos.grpc_service_pb2 import InferParameter

__all__ = ["check_input_parameters", "check_output_parameters"]


def check_input_parameters(
    parameters: Mapping[str, InferParameter], name: str, model: str, *, has_contents: bool
) -> None:
    """Check the parameters of an input.

    Raises:
        InvalidArgumentError: they contradict themselves or the data; with the reference's texts.
        NotFoundError: they name a region of shared memory, of which there is none.
    """
    region = _region(parameters, name)
    if region is None:
        return
    if has_contents:
        raise InvalidArgumentError(
            f"unexpected 'content' provided when using shared memory for input tensor '{name}' for model '{model}'"
        )
    raise NotFoundError(f"Unable to find shared memory region: '{region}'")


def check_output_parameters(parameters: Mapping[str, InferParameter], name: str) -> None:
    """Check the parameters of an output.

    Raises:
        InvalidArgumentError: they contradict themselves; with the reference's texts.
        NotFoundError: they name a region of shared memory, of which there is none.
        UnsupportedError: they ask for classification.
    """
    region = _region(parameters, name)
    if "classification" in parameters:
        if region is not None:
            raise InvalidArgumentError("output can't set both 'shared_memory_region' and 'classification'")
        count = value_of(parameters["classification"], "int64_param")
        if count is None:
            raise InvalidArgumentError("invalid value type for 'classification' parameter, expected int64_param")
        if int(count) <= 0:
            raise InvalidArgumentError("invalid value for 'classification' parameter, expected >= 0")
        raise UnsupportedError("this server does not support the classification extension")
    if region is not None:
        raise NotFoundError(f"Unable to find shared memory region: '{region}'")


def _region(parameters: Mapping[str, InferParameter], name: str) -> str | None:
    """Give the name of the region of shared memory that a tensor is in, or None."""
    if "shared_memory_region" not in parameters:
        return None
    region = _typed(parameters, "shared_memory_region", "string_param", name)
    if "shared_memory_byte_size" not in parameters:
        raise InvalidArgumentError(
            f"'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor '{name}'"
        )
    _typed(parameters, "shared_memory_byte_size", "int64_param", name)
    if "shared_memory_offset" in parameters:
        _typed(parameters, "shared_memory_offset", "int64_param", name)
    return str(region)


def _typed(parameters: Mapping[str, InferParameter], key: str, kind: str, name: str) -> object:
    value = value_of(parameters[key], kind)
    if value is None:
        raise InvalidArgumentError(f"invalid value type for '{key}' parameter for tensor '{name}', expected {kind}.")
    return value

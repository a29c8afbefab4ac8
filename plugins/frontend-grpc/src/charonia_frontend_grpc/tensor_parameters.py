"""The parameters of one input or output of a request: shared memory and classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError

from charonia_frontend_grpc.parameters import value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.shared_memory import RegionSlice, SharedMemory
    from charonia_protos.grpc_service_pb2 import InferParameter

__all__ = ["class_count", "input_region", "output_region"]

_REGION = "shared_memory_region"
_OFFSET = "shared_memory_offset"
_BYTE_SIZE = "shared_memory_byte_size"


def input_region(
    parameters: Mapping[str, InferParameter], name: str, model: str, shared_memory: SharedMemory, *, has_contents: bool
) -> memoryview | None:
    """Give the bytes of an input that is in shared memory; None if it is not.

    Raises:
        InvalidArgumentError: the parameters contradict themselves or the data; with the reference's texts.
        NotFoundError: there is no such region.
    """
    place = _place(parameters, name)
    if place is None:
        return None
    if has_contents:
        raise InvalidArgumentError(
            f"unexpected 'content' provided when using shared memory for input tensor '{name}' for model '{model}'"
        )
    return shared_memory.slice(*place).view()


def output_region(
    parameters: Mapping[str, InferParameter], name: str, shared_memory: SharedMemory
) -> RegionSlice | None:
    """Give the place in shared memory where an output is wanted; None if it is not wanted there.

    Raises:
        InvalidArgumentError: the parameters contradict themselves; with the reference's texts.
        NotFoundError: there is no such region.
    """
    place = _place(parameters, name)
    return None if place is None else shared_memory.slice(*place)


def class_count(parameters: Mapping[str, InferParameter]) -> int:
    """Tell how many of an output's greatest elements are wanted instead of it; 0 where it is wanted itself.

    Raises:
        InvalidArgumentError: the parameter is wrong, or contradicts another; with the reference's texts.
    """
    if "classification" not in parameters:
        return 0
    count = value_of(parameters["classification"], "int64_param")
    if count is None:
        raise InvalidArgumentError("invalid value type for 'classification' parameter, expected int64_param")
    if int(count) <= 0:
        raise InvalidArgumentError("invalid value for 'classification' parameter, expected >= 0")
    if _REGION in parameters:
        raise InvalidArgumentError("output can't set both 'shared_memory_region' and 'classification'")
    return int(count)


def _place(parameters: Mapping[str, InferParameter], name: str) -> tuple[str, int, int] | None:
    """Read the region, offset and size of a tensor that is in shared memory; None if it is not."""
    if _REGION not in parameters:
        for other in (_OFFSET, _BYTE_SIZE):
            if other in parameters:
                raise InvalidArgumentError(
                    f"'{other}' can not be specified without '{_REGION}' parameter for tensor '{name}'"
                )
        return None
    region = str(_typed(parameters, _REGION, "string_param", name))
    offset = int(_typed(parameters, _OFFSET, "int64_param", name)) if _OFFSET in parameters else 0
    if _BYTE_SIZE not in parameters:
        raise InvalidArgumentError(
            f"'{_BYTE_SIZE}' must be specified along with '{_REGION}' parameter for tensor '{name}'"
        )
    return region, offset, int(_typed(parameters, _BYTE_SIZE, "int64_param", name))


def _typed(parameters: Mapping[str, InferParameter], key: str, kind: str, name: str) -> str | float:
    value = value_of(parameters[key], kind)
    if value is None:
        raise InvalidArgumentError(f"invalid value type for '{key}' parameter for tensor '{name}', expected {kind}.")
    return value

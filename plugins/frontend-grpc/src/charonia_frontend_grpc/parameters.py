"""The parameters of an infer request: the protocol's own, and those that go on to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError
from charonia.parameters import ToldParameters
from charonia.request import SEQUENCE_END, SEQUENCE_START

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.request import Parameter
    from charonia_protos.grpc_service_pb2 import InferParameter

__all__ = ["GrpcParameters", "read_parameters", "value_of"]

_EMPTY_FINAL = "triton_enable_empty_final_response"
_UINT64 = (1 << 64) - 1


@dataclass(slots=True)
class GrpcParameters(ToldParameters):
    """What a request's parameters say; `empty_final_response` asks for a last message that says no more than that."""

    empty_final_response: bool = False


def value_of(parameter: InferParameter, *kinds: str) -> Parameter | None:
    """Give a parameter's value if it is of one of some kinds (`int64_param`, …), else None."""
    kind = parameter.WhichOneof("parameter_choice")
    if kind not in kinds:
        return None
    value: Parameter = getattr(parameter, kind)
    return value


def read_parameters(parameters: Mapping[str, InferParameter]) -> GrpcParameters:
    """Read the parameters of a request.

    Raises:
        InvalidArgumentError: a name is reserved, or a value of the wrong type; with the reference's texts.
    """
    told = GrpcParameters()
    for name, parameter in parameters.items():
        if name in _RESERVED:
            _RESERVED[name](told, parameter)
        elif name.startswith("triton_"):
            raise InvalidArgumentError(
                "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
                f"'triton_' are allowed: {_EMPTY_FINAL}"
            )
        else:
            value = value_of(parameter, "int64_param", "bool_param", "string_param", "double_param")
            if value is None:
                raise _wrong_type(name, "int64_param, bool_param, or string_param")
            told.custom[name] = value
    return told


def _wrong_type(name: str, expected: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"invalid value type for '{name}' parameter, expected {expected}.")


def _truth(name: str, parameter: InferParameter) -> bool:
    value = value_of(parameter, "bool_param")
    if value is None:
        raise _wrong_type(name, "bool_param")
    return bool(value)


def _sequence_id(told: GrpcParameters, parameter: InferParameter) -> None:
    value = value_of(parameter, "int64_param", "string_param")
    if value is None:
        raise _wrong_type("sequence_id", "int64_param or string_param")
    # as in the reference, the bits of the number are those of an unsigned one
    told.sequence_id = value if isinstance(value, str) else int(value) & _UINT64


def _sequence_start(told: GrpcParameters, parameter: InferParameter) -> None:
    if _truth("sequence_start", parameter):
        told.flags |= SEQUENCE_START


def _sequence_end(told: GrpcParameters, parameter: InferParameter) -> None:
    if _truth("sequence_end", parameter):
        told.flags |= SEQUENCE_END


def _priority(told: GrpcParameters, parameter: InferParameter) -> None:
    value = value_of(parameter, "int64_param", "uint64_param")
    if value is None:
        raise _wrong_type("priority", "int64_param or uint64_param")
    if int(value) < 0:
        raise InvalidArgumentError("invalid value for 'priority', expected value >= 0.")
    told.priority = int(value)


def _timeout(told: GrpcParameters, parameter: InferParameter) -> None:
    value = value_of(parameter, "int64_param")
    if value is None:
        raise _wrong_type("timeout", "int64_param")
    told.timeout_us = int(value) & _UINT64  # as in the reference, a negative one is a very long time


def _empty_final_response(told: GrpcParameters, parameter: InferParameter) -> None:
    told.empty_final_response = _truth(_EMPTY_FINAL, parameter)


_RESERVED = {
    "sequence_id": _sequence_id,
    "sequence_start": _sequence_start,
    "sequence_end": _sequence_end,
    "priority": _priority,
    "timeout": _timeout,
    _EMPTY_FINAL: _empty_final_response,
}

"""The parameters of an infer request: the protocol's own, and those that go on to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError
from charonia.parameters import ToldParameters
from charonia.request import SEQUENCE_END, SEQUENCE_START

from charonia_frontend_http.json_access import MAX_INT64, MAX_UINT64, take_bool, take_unsigned, wrong_type

if TYPE_CHECKING:
    from charonia.request import Parameter

__all__ = ["HttpParameters", "custom_parameter", "read_parameters"]


@dataclass(slots=True)
class HttpParameters(ToldParameters):
    """What a request's parameters say; `binary_output` is the form in which outputs are wanted that are not listed."""

    binary_output: bool = False


def read_parameters(parameters: object) -> HttpParameters:
    """Read the object `parameters` of a request.

    Raises:
        InvalidArgumentError: a name is reserved, or a value of the wrong type.
    """
    if type(parameters) is not dict:
        raise InvalidArgumentError("failed to get request params.: attempt to get members for non-object")
    told = HttpParameters()
    for name, value in parameters.items():
        if name in _RESERVED:
            _RESERVED[name](told, value)
        elif name.startswith("triton_"):
            raise InvalidArgumentError(
                "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
            )
        else:
            told.custom[name] = custom_parameter(name, value)
    return told


def custom_parameter(name: str, value: object) -> Parameter:
    """Take a parameter for the model; as in the reference, an integer outside int64 becomes a double.

    Raises:
        InvalidArgumentError: the value is null, an array or an object.
    """
    if type(value) is int:
        return value if -MAX_INT64 - 1 <= value <= MAX_INT64 else float(value)
    if isinstance(value, str | bool | float):
        return value
    raise InvalidArgumentError(f"parameter '{name}' has invalid type. It should be either 'int', 'bool', or 'string'.")


def _sequence_id(told: HttpParameters, value: Any) -> None:
    if type(value) is not str and (type(value) is not int or not 0 <= value <= MAX_UINT64):
        raise wrong_type("string", "Unable to parse 'sequence_id': ")
    told.sequence_id = value


def _sequence_start(told: HttpParameters, value: object) -> None:
    if take_bool(value, "Unable to parse 'sequence_start': "):
        told.flags |= SEQUENCE_START


def _sequence_end(told: HttpParameters, value: object) -> None:
    if take_bool(value, "Unable to parse 'sequence_end': "):
        told.flags |= SEQUENCE_END


def _priority(told: HttpParameters, value: object) -> None:
    told.priority = take_unsigned(value, "Unable to parse 'priority': ")


def _timeout(told: HttpParameters, value: object) -> None:
    told.timeout_us = take_unsigned(value, "Unable to parse 'timeout': ")


def _binary_data_output(told: HttpParameters, value: object) -> None:
    told.binary_output = take_bool(value, "Unable to parse 'binary_data_output': ")


_RESERVED = {
    "sequence_id": _sequence_id,
    "sequence_start": _sequence_start,
    "sequence_end": _sequence_end,
    "priority": _priority,
    "timeout": _timeout,
    "binary_data_output": _binary_data_output,
}

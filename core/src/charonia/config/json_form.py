"""The JSON form of a configuration, printed as the reference prints it.

The protocol's config call, the load call's override and a Python model's arguments use it. It is proto3 JSON with snake-case
names and all defaults, save that 64-bit integers are numbers.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

from charonia_protos.model_config_pb2 import ModelConfig
from google.protobuf.descriptor import FieldDescriptor

from charonia.config.build import Builder
from charonia.config.parse import name_problem
from charonia.config.syntax import Block, Entry, Form, Items, Node, Scalar
from charonia.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

__all__ = ["config_from_json", "config_to_json"]

_STAY_STRINGS = {
    "inference.ModelSequenceBatching.InitialState.dims",
    "inference.ModelOptimizationPolicy.Cuda.GraphSpec.Shape.dim",
    "inference.ModelInstanceGroup.SecondaryDevice.device_id",
}
"""64-bit integers that the reference leaves as proto3 JSON has them."""

_ONLY_IF_SET = {"inference.ModelEnsembling.max_inflight_requests"}
"""Newer than the recordings of the reference, which do not have it."""


def config_to_json(config: ModelConfig) -> dict[str, object]:
    """Give a configuration as values that any JSON encoder takes.

    Scalars, lists and maps are there even if empty; messages and the members of a choice only if set. Keys are in the order of
    the schema.
    """
    return _message(config)


def _message(message: Message) -> dict[str, object]:
    printed: dict[str, object] = {}
    for field in cast("Descriptor", message.DESCRIPTOR).fields:  # the stubs offer two classes that are one
        value = getattr(message, field.name)
        if field.has_presence and not message.HasField(field.name):
            continue
        if field.full_name in _ONLY_IF_SET and not value:
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            of_value = field.message_type.fields_by_name["value"]
            printed[field.name] = {str(key): _single(of_value, value[key]) for key in sorted(value)}
        elif field.is_repeated:
            printed[field.name] = [_single(field, item) for item in value]
        else:
            printed[field.name] = _single(field, value)
    return printed


def _single(field: FieldDescriptor, value: Any) -> object:
    if field.message_type:
        return _message(value)
    if field.enum_type:
        return field.enum_type.values_by_number[value].name
    if field.cpp_type in {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}:
        return _number(value, single=field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT)
    return str(value) if field.full_name in _STAY_STRINGS else value


def _number(value: float, *, single: bool) -> float | str:
    if math.isfinite(value):
        return _shortest(value) if single else value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _shortest(value: float) -> float:
    """Round a single-precision number to as many digits as tell it from its neighbours."""
    import numpy as np

    return float(str(np.float32(value)))


def config_from_json(text: str, *, model: str) -> ModelConfig:
    """Read a configuration in JSON, as the load call takes it.

    As in the reference, enum values may be in any case, and 64-bit integers numbers or strings. An empty name becomes the
    model's.

    Raises:
        ConfigError: the text is no JSON or no configuration, with every problem that was found.
    """
    try:
        decoder = json.JSONDecoder(
            object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
        tree = _tree(decoder.decode(text))
    except ValueError as error:
        raise ConfigError(model, [ConfigProblem(f"the configuration is no JSON: {error}")]) from error
    except RecursionError as error:
        raise ConfigError(model, [ConfigProblem("the configuration is nested too deeply")]) from error
    if not isinstance(tree, Block):
        raise ConfigError(model, [ConfigProblem("the configuration is no JSON object", expected="{ … }")])
    builder = Builder(Form.JSON)
    config = ModelConfig()
    try:
        builder.fill(config, tree)
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair, which is no text
        raise ConfigError(model, [ConfigProblem("a text is no Unicode", found=ascii(error.object))]) from error
    if config.name and config.name != model:
        builder.problems.append(name_problem(config.name, model))
    if builder.problems:
        raise ConfigError(model, builder.problems)
    config.name = model
    return config


class _Number(str):
    """The text of a number, so that no digit is lost on the way to the field's own type."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, with those that come twice."""


def _tree(value: Any) -> Node:
    if isinstance(value, _Pairs):
        return Block(0, [Entry(name, _tree(member), 0) for name, member in value])
    if isinstance(value, list):
        return Items(0, [_tree(item) for item in value])
    if value is None:
        return Scalar("null", 0, null=True)
    if isinstance(value, bool):
        return Scalar("true" if value else "false", 0)
    return Scalar(str(value), 0, quoted=not isinstance(value, _Number))

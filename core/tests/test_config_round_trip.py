"""Laws of the readers and printers of configurations."""

import json
import math

import pytest
import yaml
from charonia.config import config_from_json, config_to_json, parse_config
from charonia.errors import ConfigError
from charonia_protos.model_config_pb2 import ModelConfig
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import example, given
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_STRING: TEXTS,
}


def scalars(field):
    """Generate values of a field that is no message."""
    if field.enum_type:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return SCALARS[field.cpp_type]


def fill(draw, message):
    """Set some fields of a message, at random, down to the leaves."""
    fields = list(message.DESCRIPTOR.fields)
    chosen = (
        st.lists(st.sampled_from(fields), max_size=4, unique_by=lambda field: field.number) if fields else st.just([])
    )
    for field in draw(chosen):
        target = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
            for name in draw(st.lists(scalars(key), max_size=2, unique=True)):
                if value.message_type:
                    fill(draw, target[name])
                else:
                    target[name] = draw(scalars(value))
        elif field.is_repeated and field.message_type:
            for _ in range(draw(st.integers(0, 2))):
                fill(draw, target.add())
        elif field.is_repeated:
            target.extend(draw(st.lists(scalars(field), max_size=3)))
        elif field.message_type:
            target.SetInParent()
            fill(draw, target)
        else:
            setattr(message, field.name, draw(scalars(field)))


@st.composite
def configs(draw):
    """Generate configurations of the model "m"."""
    config = ModelConfig()
    fill(draw, config)
    config.name = "m"
    return config


def escaped(text):
    """Write the start of a variable so that it stands for itself."""
    return text.replace("${", "$${")


@given(configs())
def test_the_text_form_gives_back_what_was_printed(config):
    """Reading is the inverse of protobuf's printer."""
    text = escaped(text_format.MessageToString(config, as_utf8=True))
    assert parse_config(text, model="m", file="config.pbtxt", environment={}).config == config


@given(configs())
def test_yaml_gives_back_what_was_printed(config):
    """The JSON form written as YAML reads as the same configuration."""
    text = escaped(yaml.safe_dump(config_to_json(config), sort_keys=False))
    assert parse_config(text, model="m", file="config.yaml", environment={}).config == config


@given(configs())
def test_json_gives_back_what_was_printed(config):
    """Reading the JSON form is the inverse of printing it."""
    assert config_from_json(json.dumps(config_to_json(config)), model="m") == config


LARGEST = float.fromhex("0x1.fffffep+127")


@pytest.mark.parametrize(
    ("written", "meant"),
    [(3.4028235e38, LARGEST), (-3.4028235e38, -LARGEST), (3.4028236e38, math.inf), (1e39, math.inf)],
)
def test_the_largest_number_of_single_precision_is_read_as_it_is_printed(written, meant):
    """It is printed with so few digits that it seems greater than it is; what is nearer to none of that precision is infinite."""
    document = {"sequence_batching": {"control_input": [{"control": [{"fp32_false_true": [written]}]}]}}
    (tensor,) = config_from_json(json.dumps(document), model="m").sequence_batching.control_input
    assert list(tensor.control[0].fp32_false_true) == [meant]


WORDS = st.sampled_from(
    [
        "name",
        "backend",
        "max_batch_size",
        "input",
        "dims",
        "parameters",
        "key",
        "value",
        "dynamic_batching",
        "TYPE_FP32",
        "true",
        "{",
        "}",
        "[",
        "]",
        "<",
        ">",
        ":",
        ",",
        ";",
        "-",
        "#",
        '"m"',
        "'x'",
        "1",
        "0x1F",
        "1.5f",
        "017",
        '"\\n"',
        '"\\101"',
        '"\\xff"',
        '"\\?"',
        "\n",
    ]
)


@given(st.lists(WORDS, max_size=14).map(" ".join))
@example('name: "m" max_batch_size: 0x1F')
@example('name: "" "m"; input < dims: [ ] dims: - 1 > parameters { key: "a" }')
def test_what_protobuf_reads_is_read_alike(text):
    """Every text that protobuf's own reader takes is taken, with the same result."""
    theirs = ModelConfig()
    try:
        text_format.Parse(text, theirs)
    except (text_format.ParseError, UnicodeDecodeError):
        theirs = None
    if theirs is not None and theirs.name in {"", "m"}:
        theirs.name = "m"
        assert parse_config(text, model="m", file="config.pbtxt", environment={}).config == theirs


def problems_of(read):
    """Give the problems that reading tells, None where it tells none; any other exception is a failure of the test."""
    try:
        read()
    except ConfigError as error:
        return error.problems
    return None


@given(st.text(max_size=60), st.sampled_from(["config.pbtxt", "config.yaml"]))
def test_any_text_is_a_configuration_or_told_to_be_none(text, file):
    """No text makes the reader fail otherwise than with problems that have a text."""
    told = problems_of(lambda: parse_config(text, model="m", file=file, environment={}))
    assert told is None or (told and all(problem.text for problem in told))


@given(st.text(max_size=60))
def test_any_text_is_json_or_told_to_be_none(text):
    """The same law for JSON."""
    told = problems_of(lambda: config_from_json(text, model="m"))
    assert told is None or (told and all(problem.text for problem in told))

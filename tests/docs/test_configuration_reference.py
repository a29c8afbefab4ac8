"""The reference of the configuration is true: its snippets can be read, and it has every field and value."""

import re
from pathlib import Path

import pytest
from charonia.cli.group import group
from charonia.config import ModelConfig, ParsedConfig, check_config, config_from_json, infer_framework, parse_config
from click.testing import CliRunner

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WORDS = set(re.findall(r"`([A-Za-z0-9_]+)`", re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)))


def model_of(text):
    """Give the name that a snippet has, else any."""
    found = re.search(r'^name: "?(\w+)', text, re.MULTILINE)
    return found[1] if found else "m"


@pytest.mark.parametrize(("form", "text"), [snippet for snippet in SNIPPETS if snippet[0] != "text"])
def test_a_snippet_is_a_right_configuration(form, text):
    """Each snippet can be read, names a framework, and passes the checks, without any variable set."""
    model = model_of(text)
    if form == "json":
        parsed = ParsedConfig(config_from_json(text, model=model))
    else:
        parsed = parse_config(text, model=model, file=f"config.{form}", environment={})
    assert check_config(parsed) == []
    assert infer_framework(parsed.config, [], model).name == model


def test_both_forms_of_the_first_model_are_equal():
    """The page says that they say the same."""
    pbtxt, yaml = (
        next(text for kind, text in SNIPPETS if kind == form and "resnet" in text) for form in ("pbtxt", "yaml")
    )
    one = parse_config(pbtxt, model="resnet", file="config.pbtxt", environment={})
    assert parse_config(yaml, model="resnet", file="config.yaml", environment={}).config == one.config


def test_the_message_shown_is_the_real_one(tmp_path, monkeypatch):
    """The example of a message is what `charonia check` tells of the mistake in it."""
    pbtxt, message = (next(text for kind, text in SNIPPETS if kind == form) for form in ("pbtxt", "text"))
    (tmp_path / "models" / "resnet").mkdir(parents=True)
    (tmp_path / "models" / "resnet" / "config.pbtxt").write_text(pbtxt.replace("max_batch_size", "max_batchsize"))
    monkeypatch.chdir(tmp_path)
    assert message in CliRunner().invoke(group, ["check", "models"]).stdout


def names_of(descriptor):
    """Collect the names of all fields and enum values of a message and those that it contains."""
    names = set()
    for field in descriptor.fields:
        kind = field.message_type
        if field.enum_type:
            names |= {value.name for value in field.enum_type.values}
        if kind and kind.GetOptions().map_entry:
            kind = kind.fields_by_name["value"].message_type
        names |= {field.name} | (names_of(kind) if kind else set())
    return names


def test_every_field_and_value_is_described():
    """Whoever adds a field to the schema describes it here."""
    assert names_of(ModelConfig.DESCRIPTOR) - WORDS == {"TYPE_INVALID"}

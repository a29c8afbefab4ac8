"""What the configuration leaves open is filled in as the reference does."""

import json
from pathlib import Path

import pytest
from charonia.config import (
    ModelConfig,
    check_config,
    check_loadable,
    config_from_json,
    config_to_json,
    infer_framework,
    normalise,
    parse_config,
)

RECORDED = Path(__file__).parent / "data" / "config"


def read(text):
    return parse_config(text, model="m", file="config.pbtxt", environment={}).config


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.json")))
def test_equals_what_the_reference_answers(name):
    """From the file to the JSON of the config call, every recorded model comes out as the reference has it."""
    text = (RECORDED / f"{name}.pbtxt").read_text()
    parsed = parse_config(text, model=name, file="config.pbtxt", environment={})
    config = normalise(infer_framework(parsed.config, ["model.py"], name))
    recorded = json.loads((RECORDED / f"{name}.json").read_text())
    assert check_config(parsed) == []
    assert check_loadable(config, places=parsed.places) == []
    assert json.dumps(config_to_json(config)) == json.dumps(recorded), "values and order of keys"
    assert config_from_json(json.dumps(recorded), model=name) == config


@pytest.mark.parametrize(
    ("written", "gpus", "groups"),
    [
        ("", (), [("m", "KIND_CPU", 2, [])]),
        ("", (0, 1), [("m", "KIND_GPU", 1, [0, 1])]),
        ("instance_group { }", (), [("m_0", "KIND_CPU", 2, [])]),
        ("instance_group { count: 3 }", (), [("m_0", "KIND_CPU", 3, [])]),
        ("instance_group { count: -1 }", (), [("m_0", "KIND_CPU", 2, [])]),
        ("instance_group { kind: KIND_MODEL }", (0,), [("m_0", "KIND_MODEL", 1, [])]),
        ("instance_group { gpus: [ 1 ] }", (0, 1), [("m_0", "KIND_GPU", 1, [1])]),
        ("instance_group { gpus: [ 2 ] }", (0, 1), [("m_0", "KIND_CPU", 2, [2])]),
        ("instance_group { kind: KIND_GPU }", (0, 1), [("m_0", "KIND_GPU", 1, [0, 1])]),
        ("instance_group { kind: KIND_GPU }", (), [("m_0", "KIND_GPU", 1, [])]),
        (
            'instance_group [ { kind: KIND_CPU }, { name: "g" kind: KIND_CPU count: 1 } ]',
            (0,),
            [("m_0", "KIND_CPU", 2, []), ("g", "KIND_CPU", 1, [])],
        ),
    ],
)
def test_instance_groups_get_names_kinds_counts_and_devices(written, gpus, groups):
    """KIND_AUTO becomes GPU where every listed GPU is there, and a count that is missing the backend's default."""
    filled = config_to_json(normalise(read(written), gpus=gpus, default_cpu_count=2))
    assert [(g["name"], g["kind"], g["count"], g["gpus"]) for g in filled["instance_group"]] == groups


@pytest.mark.parametrize(
    ("written", "path", "value"),
    [
        ("", "version_policy", {"latest": {"num_versions": 1}}),
        ("version_policy { all { } }", "version_policy", {"all": {}}),
        ("max_batch_size: 8 dynamic_batching { }", "dynamic_batching.preferred_batch_size", [8]),
        (
            "max_batch_size: 8 dynamic_batching { preferred_batch_size: 2 }",
            "dynamic_batching.preferred_batch_size",
            [2],
        ),
        ("dynamic_batching { }", "dynamic_batching.preferred_batch_size", []),
        ("max_batch_size: 4 sequence_batching { oldest { } }", "sequence_batching.oldest.preferred_batch_size", [4]),
        ("sequence_batching { }", "sequence_batching.max_sequence_idle_microseconds", 1000000),
        ("", "optimization.input_pinned_memory", {"enable": True}),
        ("optimization { input_pinned_memory { } }", "optimization.input_pinned_memory", {"enable": False}),
    ],
)
def test_sections_get_their_defaults(written, path, value):
    """What is written stays; what is not gets the reference's default."""
    found = config_to_json(normalise(read(written)))
    for name in path.split("."):
        found = found[name]
    assert found == value


def test_an_ensemble_gets_no_instances():
    """An ensemble has a transaction policy, and neither instances nor optimisation."""
    filled = normalise(ModelConfig(name="m", platform="ensemble"))
    assert filled.HasField("model_transaction_policy")
    assert not filled.HasField("optimization")
    assert not filled.instance_group


def test_twice_is_once_and_the_given_one_stays():
    """Normalising works on a copy, and a normalised configuration stays as it is."""
    config = ModelConfig(name="m", max_batch_size=3)
    filled = normalise(config, default_cpu_count=2)
    assert config == ModelConfig(name="m", max_batch_size=3)
    assert normalise(filled) == filled

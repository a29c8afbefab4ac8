"""The JSON form of configurations. That it equals the reference's is tested with the normalisation."""

import json

import pytest
from charonia.config import ModelConfig, config_from_json, config_to_json
from charonia.errors import ConfigError


def problems(text):
    with pytest.raises(ConfigError) as caught:
        config_from_json(text, model="m")
    return [(problem.field, problem.text) for problem in caught.value.problems]


def test_three_kinds_of_64_bit_integers_stay_strings():
    """Those that the reference leaves as proto3 JSON has them; all others are numbers."""
    config = ModelConfig(name="m")
    state = config.sequence_batching.state.add(dims=[5])
    state.initial_state.add(dims=[1])
    config.optimization.cuda.graph_spec.add().input["x"].dim.append(2)
    config.instance_group.add().secondary_devices.add(device_id=3)
    printed = config_to_json(config)
    state = printed["sequence_batching"]["state"][0]
    assert (state["dims"], state["initial_state"][0]["dims"]) == ([5], ["1"])
    assert printed["optimization"]["cuda"]["graph_spec"][0]["input"] == {"x": {"dim": ["2"]}}
    assert printed["instance_group"][0]["secondary_devices"] == [{"kind": "KIND_NVDLA", "device_id": "3"}]


def test_numbers_print_shortest_and_special_ones_as_words():
    """A single-precision 0.1 is 0.1, and JSON has no number for infinity."""
    config = ModelConfig()
    config.sequence_batching.direct.minimum_slot_utilization = 0.1
    control = config.sequence_batching.control_input.add().control.add()
    control.fp32_false_true.extend([float("inf"), float("-inf"), float("nan")])
    printed = config_to_json(config)["sequence_batching"]
    assert printed["direct"]["minimum_slot_utilization"] == 0.1
    assert printed["control_input"][0]["control"][0]["fp32_false_true"] == ["Infinity", "-Infinity", "NaN"]
    again = config_from_json(json.dumps(config_to_json(config)), model="m").sequence_batching
    assert again.control_input[0].control[0].fp32_false_true[0] == float("inf")


def test_a_limit_newer_than_the_recordings_is_printed_if_it_is_set():
    """`max_inflight_requests` is left out at 0, so that the answer equals the reference's."""
    config = ModelConfig()
    config.ensemble_scheduling.SetInParent()
    assert config_to_json(config)["ensemble_scheduling"] == {"step": []}
    config.ensemble_scheduling.max_inflight_requests = 2
    assert config_to_json(config)["ensemble_scheduling"] == {"step": [], "max_inflight_requests": 2}


def test_the_load_call_may_write_as_proto3_json_does():
    """Enum values in any case, 64-bit integers as strings, camel case, null for unset, whole numbers as floats."""
    text = (
        '{"maxBatchSize": 4.0, "input": [{"name": "x", "data_type": "type_fp32", "dims": ["-1", 2]}],'
        ' "output": null, "dynamic_batching": {"max_queue_delay_microseconds": "18446744073709551615"}}'
    )
    config = config_from_json(text, model="m")
    assert config.name == "m"
    assert config.max_batch_size == 4
    assert (config.input[0].data_type, list(config.input[0].dims)) == (11, [-1, 2])
    assert config.dynamic_batching.max_queue_delay_microseconds == 2**64 - 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"foo": 1}', [("foo", "foo: Cannot find field.")]),
        ('{"a": 1, "b": 2}', [("a", "a: Cannot find field."), ("b", "b: Cannot find field.")]),
        ('{"max_batch_size": "x"}', [("max_batch_size", 'wrong value for field "max_batch_size"')]),
        ('{"max_batch_size": true}', [("max_batch_size", 'wrong value for field "max_batch_size"')]),
        ('{"input": {}}', [("input", 'wrong value for field "input"')]),
        ('{"backend": 3}', [("backend", 'wrong value for field "backend"')]),
        ('{"input": [{"data_type": "FP32"}]}', [("input[0].data_type", 'Unknown enumeration value of "FP32" for field "data_type".')]),
        ('{"backend": "a", "backend": "b"}', [("backend", 'Non-repeated field "backend" is specified multiple times.')]),
        ("[]", [("", "the configuration is no JSON object")]),
        ("", [("", "the configuration is no JSON: Expecting value: line 1 column 1 (char 0)")]),
        ("[" * 100_000, [("", "the configuration is nested too deeply")]),
        ('{"name": "n"}', [("name", "unexpected directory name 'm' for model 'n', directory name must equal model name")]),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_told(text, told):
    """Every problem has its field; a field that does not exist has the reference's text."""
    assert problems(text) == told

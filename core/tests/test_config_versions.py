"""The version policy."""

import pytest
from charonia.config import ModelConfig, parse_config, selected_versions


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", [11]),
        ("version_policy { }", [11]),
        ("version_policy { latest { num_versions: 2 } }", [10, 11]),
        ("version_policy { latest { num_versions: 9 } }", [1, 9, 10, 11]),
        ("version_policy { latest { num_versions: 0 } }", []),
        ("version_policy { all { } }", [1, 9, 10, 11]),
        ("version_policy { specific { versions: [ 10, 1 ] } }", [1, 10]),
        ("version_policy { specific { } }", []),
    ],
)
def test_versions_are_chosen_by_number(policy, chosen):
    """The policy compares versions as numbers; an explicit nothing chooses nothing."""
    config = parse_config(policy, model="m", file="config.pbtxt", environment={}).config
    assert selected_versions(config.version_policy, [10, 9, 1, 11]) == chosen


def test_no_version_exists():
    """Without versions there is nothing to choose."""
    assert selected_versions(ModelConfig().version_policy, []) == []


def test_a_listed_version_that_is_absent_is_logged(caplog):
    """The others are served, and the log has the reference's text."""
    config = ModelConfig()
    config.version_policy.specific.versions.extend([7, 1])
    assert selected_versions(config.version_policy, [1, 2], model="m") == [1]
    assert caplog.messages == ["version 7 is specified for model 'm', but the version directory is not present"]

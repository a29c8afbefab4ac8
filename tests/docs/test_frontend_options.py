"""The README of each frontend has the options that it offers, with their defaults, and no others."""

from __future__ import annotations

import re

import pytest
from charonia.plugins import Plugins
from pages import HOUSE


def written(value: object) -> str:
    """Write a default as the tables do."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    ("plugin", "frontend"), [("frontend-http", "http"), ("frontend-grpc", "grpc"), ("metrics-prometheus", "metrics")]
)
def test_readme_lists_the_options(plugin, frontend):
    """The table of options is the plugin's own, in the same order."""
    readme = (HOUSE / "plugins" / plugin / "README.md").read_text()
    rows = re.findall(r"^\| `--([^`]+)` \| ([^|]*)\|", readme, re.MULTILINE)
    offered = Plugins().frontends()[frontend].options
    assert [(name, default.strip(" `")) for name, default in rows] == [
        (option.name, written(option.default)) for option in offered
    ]

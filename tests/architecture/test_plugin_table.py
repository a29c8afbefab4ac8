"""The table behind the hint `pip install …` names the plugins of this house, all of them and no other."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest
from charonia.plugin_hints import HINTS, install_command
from charonia.plugins import Plugins
from packaging.requirements import Requirement

HOUSE = Path(__file__).parents[2]
PROJECTS = {
    project["name"]: project
    for manifest in sorted(HOUSE.glob("plugins/*/pyproject.toml"))
    for project in [tomllib.loads(manifest.read_text())["project"]]
}


def test_table_is_what_the_plugins_offer():
    """Every name that a plugin of this house offers stands in the table with its distribution, and nothing else does."""
    offered = {}
    for project in PROJECTS.values():
        (module,) = project["entry-points"]["charonia"].values()
        plugins = Plugins(entry_points=(), extra=[importlib.import_module(module)])
        offered |= {
            (record.kind, record.name): project["name"]
            for record in plugins.records()
            if record.distribution != "charonia"
        }
    assert {key: Requirement(hint).name for key, hint in HINTS.items()} == offered


@pytest.mark.parametrize("key", HINTS, ids=" ".join)
def test_hint_names_extras_that_exist(key):
    """What the hint tells to install has the extras that it names, and leaves none out that the plugin cannot do without."""
    requirement = Requirement(HINTS[key])
    extras = PROJECTS[requirement.name].get("optional-dependencies", {})
    assert requirement.extras <= set(extras)
    assert bool(requirement.extras) == bool(extras)


def test_hint_can_be_pasted_into_a_shell():
    """A requirement with an extra is quoted; a name that nobody knows has no hint."""
    assert install_command(("backend", "onnxruntime")) == 'pip install "charonia-backend-onnx[cpu]"'
    assert install_command(("frontend", "http")) == "pip install charonia-frontend-http"
    assert install_command(("backend", "teapot")) == ""

"""`charonia plugins`: what is there, and why something cannot be used."""

from __future__ import annotations

import json

BACKEND = """
from charonia.hookspecs import hookimpl

@hookimpl
def charonia_backends():
    return {"acme": "acme_no_such_module:Backend"}
"""


def test_everything_is_listed_with_its_source(charonia, toy):
    """The core's own offers and those of plugins stand in one table."""
    result = charonia("plugins")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["frontend", "toy", "acme-toy", "1.0", "ok"] in lines
    assert ["storage", "file", "charonia"] in [line[:3] for line in lines]
    assert result.exit_code == 0


def test_a_broken_plugin_is_listed_with_the_cause(charonia, site):
    """A plugin that cannot be imported has a row, its cause below the table, and makes the exit code 1."""
    site.install("acme-broken", "backend-broken", "import acme_missing_framework")
    result = charonia("plugins")
    assert "broken" in [line.split()[-1] for line in result.stdout.splitlines() if "acme-broken" in line]
    assert "failed to import: No module named 'acme_missing_framework'" in result.stdout
    assert result.exit_code == 1


def test_implementations_are_tried_on_demand(charonia, site):
    """Listing imports no implementation; --import does, and tells which ones fail."""
    site.install("acme", "backend-acme", BACKEND)
    assert charonia("plugins").exit_code == 0
    result = charonia("plugins", "--import")
    assert result.exit_code == 1
    assert "backend acme (acme): failed to import: No module named 'acme_no_such_module'" in result.stdout


def test_programs_get_json(charonia, toy):
    """The same records, as a list of objects."""
    records = json.loads(charonia("plugins", "--json").stdout)
    found = next(record for record in records if record["name"] == "toy")
    assert (found["kind"], found["plugin"], found["state"]) == ("frontend", "frontend-toy", "ok")

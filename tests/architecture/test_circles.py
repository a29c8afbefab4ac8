"""No module needs another one that needs it, be it for its types alone: what is above may change without what is below."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
SOURCES = sorted(path for place in ("core/src", "plugins/*/src") for path in HOUSE.glob(place))


def name_of(path: Path, source: Path) -> str:
    """Give a module's full name."""
    return ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


def imported_by(path: Path, modules: set[str]) -> set[str]:
    """Give those of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & modules or {node.module}
    return found & modules


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.parent.name)
def test_imports_make_no_circle(source):
    """The modules of a distribution can be put in an order in which each imports only those before it."""
    files = {name_of(path, source): path for path in source.rglob("*.py")}
    graph = {name: imported_by(path, set(files)) - {name} for name, path in files.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' ← '.join(error.args[1])}")

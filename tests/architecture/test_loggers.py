"""What the server logs stands below one logger, so that whoever has a server inside can hear it, and set its level."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
MODULES = sorted(HOUSE.glob("plugins/*/src/charonia_*/**/*.py"))


def loggers_of(path):
    """Give the arguments by which a module makes loggers for itself, as they are written."""
    for node in ast.parse(path.read_text()).body:
        value = node.value if isinstance(node, ast.Assign) else None
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "logging.getLogger":
            yield ast.unparse(value.args[0])


def test_plugins_log():
    """There are modules of plugins with loggers of their own."""
    assert any([*loggers_of(path)] for path in MODULES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: ".".join(path.with_suffix("").parts[-2:]))
def test_a_plugins_module_logs_below_the_servers_logger(path):
    """The logger is called as the module is, with a point where the package's name begins."""
    name = ".".join(path.relative_to(HOUSE).with_suffix("").parts[3:]).removesuffix(".__init__")
    expected = repr(name.replace("charonia_", "charonia.", 1))
    assert [*loggers_of(path)] in ([], [expected])

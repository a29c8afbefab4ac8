"""The table of compatibility is whole and honest."""

from __future__ import annotations

import ast
import re

from pages import HOUSE

PAGE = HOUSE / "docs/reference/compatibility.md"
STATES = {"works", "partly", "not yet", "not meant"}
GROUPS = [
    ("REP", 19),
    ("CFG", 40),
    ("DYN", 53),
    ("SEQ", 68),
    ("ENS", 78),
    ("INS", 94),
    ("CAC", 97),
    ("LIF", 109),
    ("PRO", 128),
    ("FE", 139),
    ("MET", 159),
    ("BE", 178),
    ("EMB", 180),
]
"""Each group with the number of its last feature."""


def rows() -> list[list[str]]:
    """The rows of all tables: id, feature, state, note, test."""
    lines = PAGE.read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| [A-Z]+-\d", line)]


def test_every_feature_has_one_row():
    """The features 1 to 180 stand in their order, each once, in their groups."""
    expected = []
    first = 1
    for prefix, last in GROUPS:
        expected += [f"{prefix}-{number}" for number in range(first, last + 1)]
        first = last + 1
    assert [row[0] for row in rows()] == expected


def test_every_row_says_its_state():
    """A state is one of four, and what does not wholly work or will not come has a reason."""
    for identifier, feature, state, note, _ in rows():
        assert feature, identifier
        assert state in STATES, identifier
        assert note or state not in {"partly", "not meant"}, f"{identifier}: say what and why"


def test_every_row_that_works_names_its_test():
    """The test of a feature that works is a function in a test file; the others name none."""
    for identifier, _, state, _, test in rows():
        if state != "works":
            assert test == "", identifier
            continue
        path, *names = test.strip("`").split("::")
        assert (HOUSE / path).is_file(), f"{identifier}: no file {path}"
        assert _defines(ast.parse((HOUSE / path).read_text()), names), f"{identifier}: no {'::'.join(names)} in {path}"


def _defines(node: ast.AST, names: list[str]) -> bool:
    if not names:
        return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    return any(
        getattr(inner, "name", None) == names[0] and _defines(inner, names[1:]) for inner in ast.iter_child_nodes(node)
    )


def test_what_no_test_has_run_on_is_told():
    """Each file with a test that needs a GPU has a row, and no other file has."""
    told = PAGE.read_text().partition("## What no test has run on")[2]
    folders = (HOUSE / folder for folder in ("core", "plugins", "tests"))
    files = [file for folder in folders for file in folder.rglob("test_*.py")]
    marked = {str(file.relative_to(HOUSE)) for file in files if "pytest.mark." + "gpu" in file.read_text()}
    assert set(re.findall(r"^\| `([^`]+)` \|", told, re.MULTILINE)) == marked

"""The documentation is true: what it shows runs and prints what it shows, and its links lead somewhere."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest
from pages import HOUSE, MARKS, blocks, pages
from walkthrough import Walkthrough

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("page", pages())
def test_every_block_of_a_page_runs(page, tmp_path):
    """A reader who does what the page says, from top to bottom, sees what it shows."""
    found = blocks(page)
    with Walkthrough(tmp_path) as walk:
        for block, after in itertools.zip_longest(found, found[1:]):
            assert set(block.marks) <= MARKS, f"{block.place}: a mark is one of {sorted(MARKS)}"
            if "output" not in block.marks:
                walk.take(block, after if after is not None and "output" in after.marks else None)


@pytest.mark.parametrize("page", pages())
def test_every_link_of_a_page_leads_somewhere(page):
    """A relative link names a file or folder that is there."""
    text = re.sub(r"```.*?```", "", (HOUSE / page).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (HOUSE / page).parent.joinpath(target).exists(), f"{page} links to {target}"


def test_every_page_can_be_reached():
    """Whoever starts at the README finds every page below docs/."""
    reached: set[Path] = set()
    ahead = [HOUSE / "README.md"]
    while ahead:
        page = ahead.pop().resolve()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        ahead += [page.parent / target for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())]
    assert {path.resolve() for path in HOUSE.glob("docs/**/*.md")} <= reached


def test_architecture_has_a_room_for_every_module():
    """The drawing and the table of the core name every module that there is, and no other."""
    text = (HOUSE / "docs/architecture.md").read_text()
    drawing = re.search(r"```text\n(.*?)```", text, re.DOTALL)[1]
    rooms = {word for line in drawing.splitlines() if "│" in line for word in line.split("│")[1].split()}
    table = {
        name
        for line in text.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    modules = {
        path.stem
        for path in (HOUSE / "core/src/charonia").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    modules -= {"__init__"}
    assert rooms == modules
    assert table >= modules


def test_architecture_tells_of_every_thread():
    """Whoever sees a thread of the server in a debugger finds its name in the table, with who joins it."""
    text = (HOUSE / "docs/architecture.md").read_text()
    told = {name for line in text.splitlines() for name in re.findall(r"`(charonia-[a-z-]+?)(?:-<name>)?`", line)}
    given = re.compile(r"(?:name=|_prefix=|Thread\(|Gathering\(|look, )f?\"(charonia-[a-z-]+?)-?[\"{]")
    sources = [path for place in ("core/src", "plugins/*/src") for path in HOUSE.glob(f"{place}/**/*.py")]
    of_the_server = [path for path in sources if "testing" not in path.parts and path.name != "child.py"]
    assert {name for path in of_the_server for name in given.findall(path.read_text())} <= told


def test_news_fragments_are_named_by_the_rule():
    """A fragment says its topic, a distribution and a type, and holds a sentence."""
    packages = {"core", "protos", "house", *(path.name for path in (HOUSE / "plugins").iterdir())}
    for path in sorted((HOUSE / "changes").iterdir()):
        if path.name != "README.md":
            topic, package, kind, suffix = path.name.split(".")
            assert re.fullmatch(r"[a-z0-9-]+", topic)
            assert package in packages
            assert kind in {"added", "changed", "fixed", "removed", "security"}
            assert suffix == "md"
            assert path.read_text().strip().endswith(".")

"""The order of the house: names that follow from each other, files with one subject, one way for one thing."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in HOUSE.glob("plugins/*/pyproject.toml"))
PACKAGES = [HOUSE / "protos", HOUSE / "core", *PLUGINS]
SOURCES = sorted(
    path for package in PACKAGES for path in package.glob("src/**/*.py") if not path.name.endswith("_pb2.py")
)

THREAD = "(charonia-[a-z-]*[a-z])"


def manifest(folder: Path) -> dict:
    """Read a distribution's pyproject.toml."""
    return tomllib.loads((folder / "pyproject.toml").read_text())


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugins_four_names_agree(folder):
    """Folder, distribution, package and entry point of a plugin are spellings of one name."""
    name = folder.name
    package = f"charonia_{name.replace('-', '_')}"
    project = manifest(folder)["project"]
    assert project["name"] == f"charonia-{name}"
    assert (folder / "src" / package / "__init__.py").is_file()
    assert project["entry-points"]["charonia"] == {name: package}


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_every_distribution_is_complete(folder):
    """Each has a README and the licence, says that it is typed, and takes its version from the one place."""
    assert (folder / "README.md").is_file()
    assert (folder / "LICENSE").read_bytes() == (HOUSE / "LICENSE").read_bytes()
    assert list(folder.glob("src/*/py.typed"))
    settings = manifest(folder)
    assert settings["project"]["dynamic"] == ["version"]
    assert (folder / settings["tool"]["hatch"]["version"]["path"]).resolve() == HOUSE / "VERSION"


def test_import_rules_cover_every_package():
    """The contracts of import-linter are about all packages that there are."""
    settings = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = {
        path.name for package in PACKAGES for path in (package / "src").iterdir() if (path / "py.typed").exists()
    }
    assert set(settings["root_packages"]) == packages
    tops = settings["contracts"][0]["layers"][0].split(" | ")
    assert set(tops) == {f"charonia_{folder.name.replace('-', '_')}" for folder in PLUGINS}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_files_are_small_and_named_after_their_subject(path):
    """No file is over 400 lines, and none is called after what it is not about."""
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem.strip("_") not in {"utils", "util", "helpers", "common", "misc", "manager"}


def test_one_way_from_threads_into_event_loops():
    """Only the mailbox wakes an event loop from another thread."""
    users = [path.name for path in SOURCES if "call_soon_threadsafe" in path.read_text()]
    assert users == ["mailbox.py"]


def test_repository_names_no_place_of_its_making():
    """No file that is committed carries a path of somebody's machine, or the address of a package registry."""
    strange = re.compile(
        r"/home/\w+|/root/|https?://(?:pypi|files\.pythonhosted|registry\.npmjs|deb\.debian)\.", re.IGNORECASE
    )
    places = [HOUSE / name for name in ("protos", "core", "plugins", "docs", "examples", "benchmarks")]
    texts = [
        path
        for place in places
        for path in place.rglob("*")
        if path.suffix in {".py", ".md", ".toml", ".pbtxt", ".yaml", ".proto"} and path.is_file()
    ]
    assert [str(path) for path in texts if strange.search(path.read_text())] == []


def test_every_thread_has_its_row():
    """The architecture names each thread that the server's process has, once."""
    page = (HOUSE / "docs/architecture.md").read_text()
    table = page.partition("\n## The threads\n")[2].partition("\n## ")[0]
    told = [name for cell in re.findall(r"^\|([^|]*)", table, re.MULTILINE) for name in re.findall(THREAD, cell)]
    started = {
        name
        for path in SOURCES
        if path.name != "child.py"  # whose threads are those of a model's process
        for name in re.findall(
            r'(?:name=|_prefix=|Gathering\(\s*|LoopThread\(|(?:Watch|Readiness)\([\w.]+, )f?"' + THREAD,
            path.read_text(),
        )
    }
    assert len(started) > 15
    assert len(told) == len(set(told))
    assert started <= set(told)


BROUGHT_BY_OTHERS = {
    "core": {"fsspec"},  # comes with each storage that stands on it
    "backend-custom": {"opentelemetry"},  # is there where somebody traces
}


@cache
def homes_of_modules() -> dict[str, list[str]]:
    """Tell by which distributions each module that can be imported comes; this house's are installed without their files."""
    ours = {path.name: [manifest(folder)["project"]["name"]] for folder in PACKAGES for path in folder.glob("src/*")}
    return {**packages_distributions(), **ours}


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_what_a_distribution_imports_is_declared(folder):
    """Nothing that a module needs comes by chance, with something else that needs it, too."""
    project = manifest(folder)["project"]
    wanted = [*project.get("dependencies", ()), *chain(*project.get("optional-dependencies", {}).values())]
    declared = {canonicalize_name(Requirement(text).name) for text in (*wanted, project["name"])}
    homes = homes_of_modules()
    imported = set()
    for path in folder.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    imported -= {*sys.stdlib_module_names, *BROUGHT_BY_OTHERS.get(folder.name, ())}
    assert [
        name for name in imported if name in homes and not declared & set(map(canonicalize_name, homes[name]))
    ] == []

"""What several tests of the core need: the command line in process, and a place for plugins that come and go."""

from __future__ import annotations

import importlib
import sys

import pytest
from charonia.cli.group import group
from charonia.shared_memory import SharedMemory
from click.testing import CliRunner

TOY = """
from charonia.frontend_offer import FrontendOffer, FrontendOption
from charonia.hookspecs import hookimpl

OPTIONS = [
    FrontendOption("toy-address", "127.0.0.1", "Where to listen."),
    FrontendOption("toy-port", 7000, "The port."),
    FrontendOption("toy-ratio", 0.5, "A number."),
    FrontendOption("allow-toy", True, "Serve toys."),
    FrontendOption("toy-friend", "", "Who may play. May come several times.", repeatable=True),
]

@hookimpl
def charonia_frontends():
    return {"toy": FrontendOffer("nowhere_toy.frontend:Toy", OPTIONS)}
"""


@pytest.fixture
def charonia(monkeypatch):
    """Run the command line in process: `charonia("check", path)` gives the exit code, stdout and stderr."""
    for name in ("CHARONIA_INFER_URL", "CHARONIA_MODELS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words, env=None):
        return CliRunner().invoke(group, [str(word) for word in words], prog_name="charonia", env=env)

    return run


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a plugin for the time of the test: `install("acme-toy", "frontend-toy", source)`."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(distribution, plugin, source):
        module = f"{distribution}_{plugin}".replace("-", "_")
        (site / f"{module}.py").write_text(source)
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[charonia]\n{plugin} = {module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()

    return install


@pytest.fixture
def toy(install):
    """Install a frontend that has an option of every type."""
    install("acme-toy", "frontend-toy", TOY)


@pytest.fixture
def regions():
    """What clients have registered of their shared memory: nothing as yet."""
    registered = SharedMemory(allowed=True)
    yield registered
    registered.close()

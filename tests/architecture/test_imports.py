"""What an import costs: `import charonia` brings neither a framework nor a transport, and hardly anything else."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = {
    "aiohttp",
    "cuda",
    "grpc",
    "onnxruntime",
    "orjson",
    "tensorflow",
    "tensorrt",
    "tensorrt_rtx",
    "torch",
    "uvloop",
}
LEFT_FOR_LATER = FRAMEWORKS | {"click", "importlib.metadata", "numpy", "pluggy", "rich", "yaml"}


def modules_after(statement: str) -> set[str]:
    """Give the names of all modules that a fresh interpreter has after a statement."""
    program = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_import_charonia_imports_next_to_nothing():
    """The package itself is only names: numpy, pluggy and the rest come with what is first used."""
    assert modules_after("import charonia") & LEFT_FOR_LATER == set()


@pytest.mark.parametrize("statement", ["from charonia import Server", "import charonia.cli", "import charonia.testing"])
def test_core_imports_no_framework(statement):
    """Neither the server nor the command line imports a framework or a transport before a model or frontend needs it."""
    assert modules_after(statement) & FRAMEWORKS == set()


@pytest.mark.parametrize(
    "plugin",
    [
        "charonia_frontend_grpc",
        "charonia_frontend_http",
        "charonia_backend_onnx",
        "charonia_backend_custom",
        "charonia_backend_pytorch",
        "charonia_backend_tensorflow",
        "charonia_backend_tensorrt",
        "charonia_cache_local",
    ],
)
def test_plugins_are_discovered_without_their_frameworks(plugin):
    """A plugin's entry module returns names and import paths only."""
    assert modules_after(f"import {plugin}") & (FRAMEWORKS | {"numpy"}) == set()


def test_listing_plugins_imports_no_framework():
    """Discovery of all installed plugins imports none of their frameworks."""
    assert modules_after("from charonia.plugins import Plugins\nPlugins().records()") & FRAMEWORKS == set()

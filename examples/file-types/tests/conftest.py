"""The sample's scripts are imported as they lie, and one server serves them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1]
sys.path.insert(0, str(SAMPLE))


@pytest.fixture(scope="session")
def prepared():
    """The sample with its model in place."""
    subprocess.run([sys.executable, SAMPLE / "prepare.py"], check=True)
    return SAMPLE


@pytest.fixture(scope="module")
def url(prepared):
    """The address of a server of the sample."""
    import charonia
    from charonia.serving import serve_in_thread

    with charonia.Server(prepared / "model_repository") as server, serve_in_thread(server, {"http-port": 0}) as urls:
        yield next(url for url in urls if url.startswith("http"))

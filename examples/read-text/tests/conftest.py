"""The sample's script is imported as it lies, and one server serves all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def sample():
    """The sample's folder, with its nets in place."""
    subprocess.run([sys.executable, SAMPLE / "prepare.py"], check=True)
    return SAMPLE


@pytest.fixture(scope="module")
def addresses(sample):
    """Serve the sample, and give its addresses by scheme."""
    import charonia
    from charonia.serving import serve_in_thread

    ports = {"http-port": 0, "grpc-port": 0}
    with charonia.Server(sample / "model_repository") as server, serve_in_thread(server, ports) as urls:
        yield dict(url.split("://") for url in urls)

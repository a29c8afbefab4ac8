"""The sample's scripts are imported as they lie, and each test has a server of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1]
sys.path.append(str(SAMPLE))  # the last place: other samples' scripts have names of these, too


@pytest.fixture(scope="session")
def sample():
    """The sample's folder, with its net in place."""
    subprocess.run([sys.executable, SAMPLE / "prepare.py"], check=True)
    return SAMPLE


@pytest.fixture
def address(sample):
    """Serve the sample over gRPC."""
    import charonia
    from charonia.serving import serve_in_thread

    ports = {"grpc-port": 0, "allow-http": False}
    with charonia.Server(sample / "model_repository") as server, serve_in_thread(server, ports) as (url,):
        yield url.removeprefix("grpc://")

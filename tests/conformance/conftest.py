"""The reference itself, for the tests that ask both servers the same."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from benchmarks.process import ServerProcess
from benchmarks.tools.download import UnavailableError, cache_folder
from benchmarks.tools.reference_server import (
    install_reference,
    reference_command,
    reference_environment,
)


@pytest.fixture(scope="session")
def run_reference():
    """Give a context manager that runs the reference with some flags, from its line that tells that the port listens on.

    Where the reference is not installed, the test is skipped.
    """
    if not (cache_folder("charonia-reference") / "ready").exists():  # too large a download for a test
        pytest.skip("the reference is not installed: `python -m benchmarks.tools.reference_server` does it")
    try:
        venv = install_reference()
    except UnavailableError as error:
        pytest.skip(str(error))
    environment = reference_environment(venv) | {"PYTHONDONTWRITEBYTECODE": "1"}

    @contextmanager
    def run(port, *flags, ready="Started HTTPService"):
        server = ServerProcess("the reference", [*reference_command(venv), *flags], port, ready, environment)
        try:
            yield
        finally:
            server.stop()

    return run

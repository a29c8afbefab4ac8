"""What the tests of several plugins share: a server on a repository of theirs, frontends that stop, and what is not installed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from charonia import Server, ServerOptions
from charonia.serving import Serving
from charonia.testing.patience import PATIENCE_SECONDS


@pytest.fixture
def serve():
    """Start a server that goes on when models fail, and close it at the end."""
    servers = []

    def start(repository, **options):
        server = Server(repository, options=ServerOptions(exit_on_error=False, **options))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def reason():
    """Tell why a model does not serve; "" if it does."""

    def of(server, name="m"):
        return next(row.reason for row in server.index() if row.name == name)

    return of


@pytest.fixture
def stoppable():
    """Serve frontends on a loop of their own: a context that gives the URL of one, and a function that begins to stop it."""

    @contextmanager
    def serve(server, settings):
        serving = Serving(server, settings)
        with asyncio.Runner(loop_factory=serving.event_loop()) as runner:
            loop = runner.get_loop()
            done = asyncio.Event()
            thread = threading.Thread(target=runner.run, args=(done.wait(),))
            thread.start()
            try:
                asyncio.run_coroutine_threadsafe(serving.start(), loop).result(PATIENCE_SECONDS)
                yield serving.urls[0], lambda: asyncio.run_coroutine_threadsafe(serving.stop(), loop)
            finally:
                asyncio.run_coroutine_threadsafe(serving.stop(), loop).result(PATIENCE_SECONDS)
                loop.call_soon_threadsafe(done.set)
                thread.join()

    return serve


_WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
from charonia import Server, ServerOptions

with Server(sys.argv[2], options=ServerOptions(exit_on_error=False)) as server:
    print(server.index()[0].reason)
"""


@pytest.fixture
def reason_without():
    """Tell why the model of a repository does not serve where a package is not installed."""

    def of(package, repository):
        command = [sys.executable, "-c", _WITHOUT, package, repository]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return of

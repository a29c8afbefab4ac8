"""What the tests of several plugins share: a server on a repository of theirs, and why a model of it does not serve."""

from __future__ import annotations

import pytest
from charonia import Server, ServerOptions


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

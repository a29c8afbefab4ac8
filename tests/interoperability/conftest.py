"""A server with HTTP and gRPC on one port, by the lean transport."""

from __future__ import annotations

import charonia_frontend_grpc
import charonia_frontend_http
import charonia_transport_lean
import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin

from benchmarks.process import free_port

PLUGINS = [ArithmeticPlugin(), charonia_frontend_http, charonia_frontend_grpc, charonia_transport_lean]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start a server with a model that gives back its rows, and one that gives back each row as often as it says."""
    repository = tmp_path_factory.mktemp("models")
    for name, decoupled in (("m", False), ("countdown", True)):
        config = model_config(
            name,
            inputs=[("X", "FP32", [-1])],
            outputs=[("Y", "FP32", [-1])],
            max_batch_size=0 if decoupled else 8,
            decoupled=decoupled,
        )
        write_model(repository, config)
    plugins = Plugins(entry_points=(), extra=PLUGINS)
    with Server(repository, options=ServerOptions(transport="lean"), plugins=plugins) as started:
        yield started


@pytest.fixture(autouse=True)
def _no_surviving_threads():
    """Let the models' threads live from test to test; they end with the server of all."""


@pytest.fixture(scope="module")
def port(server):
    """Serve HTTP and gRPC in plain text on one port."""
    number = free_port()
    with serve_in_thread(server, {"http-port": number, "grpc-port": number, "http-max-input-size": 100_000_000}):
        yield number


@pytest.fixture(scope="module")
def tls_port(server, certificate):
    """The same over TLS."""
    number = free_port()
    files = {"server-key": certificate.key, "server-cert": certificate.certificate, "use-ssl": True}
    options = {f"{prefix}-{name}": value for prefix in ("http", "grpc") for name, value in files.items()}
    with serve_in_thread(server, {"http-port": number, "grpc-port": number, **options}):
        yield number

"""Clients in step speak both protocols, and notice what is no answer."""

from __future__ import annotations

import json
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks.clients_in_step import ClientsInStep
from benchmarks.latency import LoadError
from benchmarks.process import ServerProcess, free_port
from benchmarks.sides import BARE, SIDES, start_charonia
from benchmarks.ways import HTTP, WAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.sides import Side

PLAIN = (WAYS["http"], WAYS["grpc"])
KNOWS_NOTHING = {
    "http": "from aiohttp import web; web.run_app(web.Application(), host='127.0.0.1', port=PORT)",
    "grpc": "import grpc; from concurrent.futures import ThreadPoolExecutor\n"
    "server = grpc.server(ThreadPoolExecutor(1)); server.add_insecure_port('127.0.0.1:PORT'); server.start()\n"
    "print('Running on'); server.wait_for_termination()",
}
GOES_AWAY = (
    "import socket; listener = socket.create_server(('127.0.0.1', PORT)); print('Running on')\n"
    "while True: listener.accept()[0].close()"
)


def test_each_client_sends_a_request_in_each_step(tmp_path):
    """A server counts as many as there are clients times steps, over both protocols."""
    side = start_charonia(tmp_path, "charonia", "--transport=standard")
    try:
        for done, way in enumerate(PLAIN):
            with ClientsInStep(way, side.port(way), "identity", 3) as clients:
                clients.step()
                clients.step(4)
            assert answered(side) == 15 * (done + 1)
    finally:
        side.process.stop()


def answered(side: Side) -> int:
    """Ask a server for its count of the requests that succeeded."""
    with urllib.request.urlopen(f"http://127.0.0.1:{side.ports[HTTP]}/v2/models/identity/stats") as answer:
        (model,) = json.load(answer)["model_stats"]
    return model["inference_stats"]["success"]["count"]


@pytest.mark.parametrize("way", PLAIN, ids=lambda way: way.name)
def test_they_go_on_for_long(way, tmp_path):
    """No window of HTTP/2 is ever full, and pings are answered: more bytes go either way than there is room for at first."""
    side = SIDES[BARE](tmp_path)
    try:
        with ClientsInStep(way, side.port(way), "mlp", 2) as clients:
            clients.step(1500)
    finally:
        side.process.stop()


@pytest.mark.parametrize(
    ("way", "told"), [("http", r"the server answered b'HTTP/1\.1 404"), ("grpc", "answered a call with 0 bytes")]
)
def test_a_refusal_is_an_error(way, told):
    """What does not know the model says so, which no figure can come from."""
    with (
        serving(KNOWS_NOTHING[way]) as port,
        ClientsInStep(WAYS[way], port, "identity", 2) as clients,
        pytest.raises(LoadError, match=told),
    ):
        clients.step()


@pytest.mark.parametrize("way", PLAIN, ids=lambda way: way.name)
def test_a_server_that_goes_away_is_an_error(way):
    """A connection that ends is told, whether in the middle of a request or before."""
    with (
        serving(GOES_AWAY) as port,
        ClientsInStep(way, port, "identity", 2) as clients,
        pytest.raises(LoadError, match=r"closed a connection|broke off"),
    ):
        clients.step(2)


@contextmanager
def serving(program: str) -> Iterator[int]:
    """Run a server in Python for as long as the block lasts, and give the port on which it listens."""
    port = free_port()
    command = [sys.executable, "-u", "-c", program.replace("PORT", str(port))]
    server = ServerProcess("server", command, port, "Running on")
    try:
        yield port
    finally:
        server.stop()

"""A server in front of the backend without a framework, and connections to it."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack, asynccontextmanager
from urllib.parse import urlsplit

import charonia_frontend_http
import charonia_transport_lean
import pytest
from charonia import Server, ServerOptions
from charonia.http_message import HttpRequest, RequestHead, settled
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia_frontend_http.application import HttpApplication

PATIENCE_SECONDS = 30


class Connection:
    """A client's end of a connection, which reads one response after the other."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._stream = self.socket.makefile("rb")

    def send(self, content):
        """Send bytes."""
        self.socket.sendall(content)

    def line(self):
        """Read a line of a head, without its end."""
        return self._stream.readline().removesuffix(b"\r\n").decode("latin-1")

    def response(self, *, has_body=True):
        """Read a response as (start line, header fields with names in lower case, body)."""
        start = self.line()
        headers = {}
        while line := self.line():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = self._stream.read(int(headers["content-length"])) if has_body else b""
        return start, headers, body

    def chunk(self):
        """Read one chunk of a chunked body; b"" is its end."""
        content = self._stream.read(int(self.line(), 16))
        assert self.line() == ""
        return content

    def rest(self):
        """Read up to the end of the connection."""
        return self._stream.read()

    def ended(self):
        """Wait for the server to close the connection, and tell whether nothing else came."""
        try:
            return self._stream.read() == b""
        except ConnectionResetError:
            return True

    def close(self):
        """Go away."""
        self._stream.close()
        self.socket.close()


@pytest.fixture
def model_repository(tmp_path):
    """Two identity models for rows of FP32: `m`, and `slow`, whose executions wait at the gate of that name."""
    write_model(tmp_path, model_config("m", inputs=[("X", "FP32", [-1])], outputs=[("Y", "FP32", [-1])]))
    slow = model_config(
        "slow", inputs=[("X", "FP32", [-1])], outputs=[("Y", "FP32", [-1])], parameters={"gate": "slow"}
    )
    write_model(tmp_path, slow)
    return tmp_path


@pytest.fixture(params=["standard", "lean"])
def running(model_repository, request):
    """Give the server that `serve` and others put frontends before, on each of the transports."""
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_frontend_http, charonia_transport_lean])
    with Server(model_repository, options=ServerOptions(transport=request.param), plugins=plugins) as server:
        yield server


@pytest.fixture
def asking(model_repository):
    """Give what asks the application of a server, without any network.

    Called with the server's options it is a context, whose `await ask("POST", target, document)` gives status, content type and
    what the body says.
    """

    @asynccontextmanager
    async def start(**options):
        plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_frontend_http])
        with Server(model_repository, options=ServerOptions(**options), plugins=plugins) as server:
            application = HttpApplication(server, server.mailboxes.of(asyncio.get_running_loop()), 1 << 20)

            async def ask(method, target, document=None):
                given = isinstance(document, bytes) or document is None
                body = (document or b"") if given else json.dumps(document).encode()
                response = await settled(application.handle(HttpRequest(RequestHead(method, target, {}), body)))
                return response.status, response.content_type, json.loads(response.body or b"null")

            yield ask

    return start


@pytest.fixture
def serve(running):
    """Serve over HTTP with options of the frontend, and give the port."""
    with ExitStack() as opened:

        def start(**options):
            settings = {name.replace("_", "-"): value for name, value in options.items()}
            (url,) = opened.enter_context(serve_in_thread(running, {"http-port": 0, **settings}))
            return urlsplit(url).port

        yield start


@pytest.fixture
def connect():
    """Open connections that are closed at the end of the test."""
    with ExitStack() as opened:

        def start(port):
            connection = Connection(port)
            opened.callback(connection.close)
            return connection

        yield start

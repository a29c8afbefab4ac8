"""What several tests of the core need: the command line in process, and a place for plugins that come and go."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from charonia import Server, ServerOptions
from charonia.cli.group import group
from charonia.plugins import Plugins
from charonia.shared_memory import SharedMemory
from click.testing import CliRunner
from installed import Site
from recorded_models import Loaded, Odd, Record, Recorded, RecordPlugin

TOY = """
from charonia.frontend_offer import FrontendOffer, FrontendOption
from charonia.hookspecs import hookimpl

OPTIONS = [
    FrontendOption("toy-address", "127.0.0.1", "Where to listen."),
    FrontendOption("toy-port", 7000, "The port."),
    FrontendOption("toy-ratio", 0.5, "A number."),
    FrontendOption("allow-toy", True, "Serve toys."),
    FrontendOption("toy-friend", "", "Who may play. May come several times.", repeatable=True),
]

@hookimpl
def charonia_frontends():
    return {"toy": FrontendOffer("nowhere_toy.frontend:Toy", OPTIONS)}
"""


@pytest.fixture
def charonia(monkeypatch):
    """Run the command line in process: `charonia("check", path)` gives the exit code, stdout and stderr."""
    for name in ("CHARONIA_INFER_URL", "CHARONIA_MODELS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words, env=None):
        return CliRunner().invoke(group, [str(word) for word in words], prog_name="charonia", env=env)

    return run


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Give a folder of distributions, which are installed for the time of the test."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def toy(site):
    """Install a frontend that has an option of every type."""
    site.install("acme-toy", "frontend-toy", TOY)


@pytest.fixture
def regions():
    """What clients have registered of their shared memory: nothing as yet."""
    registered = SharedMemory(allowed=True)
    yield registered
    registered.close()


@pytest.fixture
def record(monkeypatch):
    """Give what the models and the storage of `make` record."""
    record = Record()
    for kind in (Loaded, Recorded, Odd):
        monkeypatch.setattr(kind, "record", record, raising=False)
    return record


@pytest.fixture
def make(record):
    """Make servers whose models and storage are recorded, and close them at the end."""
    servers = []

    def make(repository, **options):
        plugins = Plugins(entry_points=(), extra=[RecordPlugin()])
        servers.append(Server(repository, options=ServerOptions(**options), plugins=plugins))
        return servers[-1]

    yield make
    if record.gate is not None:
        record.gate.set()
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def metrics_site():
    """Serve a page of metrics: what is put under "text", or what a function that is put there gives; gives that and the URL."""
    told = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            for name, value in told.get("headers", {}).items():
                self.send_header(name, value)
            self.end_headers()
            text = told["text"]
            self.wfile.write(text() if callable(text) else text)

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield told, f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    thread.join()
    server.server_close()

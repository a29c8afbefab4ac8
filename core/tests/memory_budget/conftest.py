"""A repository of models that say how much memory they take, and servers with a budget for them."""

from __future__ import annotations

import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from weighty_models import Echo, Memory, Weighty, WeightyBackend, WeightyPlugin


@pytest.fixture
def memory(monkeypatch):
    memory = Memory()
    for kind in (Echo, Weighty, WeightyBackend):
        monkeypatch.setattr(kind, "memory", memory, raising=False)
    return memory


@pytest.fixture
def write(tmp_path):
    """Write a model that takes so many bytes, whose files are as large."""

    def one(name, byte_size, **config):
        files = {"1/model.txt": str(byte_size).ljust(byte_size)}
        write_model(tmp_path, model_config(name, backend="weighty", **config), files)

    return one


@pytest.fixture
def serve(tmp_path, memory):
    servers = []

    def start(budget, **options):
        plugins = Plugins(entry_points=(), extra=[WeightyPlugin()])
        server = Server(tmp_path, options=ServerOptions(memory_budget=budget, **options), plugins=plugins)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()
    assert memory.taken == 0

"""Large tensors are where the socket's bytes were put, and answers leave from where the model wrote them, over both protocols."""

from __future__ import annotations

import charonia_frontend_grpc
import charonia_frontend_http
import charonia_transport_lean
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticExecution, ArithmeticPlugin
from charonia_transport_lean.connection import Connection
from charonia_transport_lean.http2.connection import Http2Connection
from charonia_transport_lean.large_body import BodyReceiver

PLUGINS = [ArithmeticPlugin(), charonia_frontend_http, charonia_frontend_grpc, charonia_transport_lean]


class Border:
    """The border between the event loop and the transport: where the loop was told to put bytes, and from where it sent them."""

    def __init__(self, monkeypatch):
        self.places = []
        self.sent = []
        for protocol in (BodyReceiver, Http2Connection):
            monkeypatch.setattr(protocol, "get_buffer", self._noting(protocol.get_buffer))
        for protocol in (Connection, Http2Connection):
            monkeypatch.setattr(protocol, "connection_made", self._watching(protocol.connection_made))

    def _noting(self, get_buffer):
        def note(protocol, sizehint):
            place = get_buffer(protocol, sizehint)
            self.places.append(np.frombuffer(place, np.uint8))
            return place

        return note

    def _watching(self, connection_made):
        return lambda protocol, transport: connection_made(protocol, Watched(transport, self.sent))


class Watched:
    """A transport of the event loop, with a note of what is sent through it in several parts."""

    def __init__(self, transport, sent):
        self._transport, self._sent = transport, sent

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def writelines(self, parts):
        parts = list(parts)
        self._sent += [np.frombuffer(part, np.uint8) for part in parts]
        self._transport.writelines(parts)


@pytest.fixture
def border(monkeypatch):
    """Watch the border."""
    return Border(monkeypatch)


@pytest.fixture
def outputs(monkeypatch):
    """Keep what models write."""
    kept = []
    value = ArithmeticExecution._value

    def keep(execution, tensor):
        kept.append(value(execution, tensor))
        return kept[-1]

    monkeypatch.setattr(ArithmeticExecution, "_value", keep)
    return kept


@pytest.fixture
def urls(tmp_path, border, outputs):
    """Serve a model that gives back its input as it is, and one that doubles it."""
    for name, scale in (("same", "1"), ("double", "2")):
        tensors = {"inputs": [("X", "FP32", [-1])], "outputs": [("Y", "FP32", [-1])]}
        write_model(tmp_path, model_config(name, **tensors, max_batch_size=0, parameters={"scale": scale}))
    plugins = Plugins(entry_points=(), extra=PLUGINS)
    with (
        Server(tmp_path, options=ServerOptions(transport="lean"), plugins=plugins) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as found,
    ):
        yield {url.partition(":")[0]: url.partition("//")[2] for url in found}


def infer(urls, protocol, model, row):
    """Ask a model."""
    module = {"http": tritonclient.http, "grpc": tritonclient.grpc}[protocol]
    tensor = module.InferInput("X", row.shape, "FP32")
    tensor.set_data_from_numpy(row)
    with module.InferenceServerClient(urls[protocol]) as client:
        return client.infer(model, [tensor]).as_numpy("Y")


def shared(views, memory):
    """Count the bytes of views that lie in some memory."""
    return sum(view.size for view in views if np.shares_memory(view, memory))


@pytest.mark.parametrize("count", [262_144, 2_097_152], ids=["1 MiB", "8 MiB"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tensor_stays_where_the_socket_put_it(urls, border, outputs, protocol, count):
    """The model has the memory into which the loop read, but for what came with the head; and from the same it is sent."""
    row = np.arange(count, dtype=np.float32)
    np.testing.assert_array_equal(infer(urls, protocol, "same", row), row)
    (array,) = outputs
    memory = array.view(np.uint8)
    assert any(np.shares_memory(place, memory) for place in border.places)
    assert shared(border.sent, memory) == row.nbytes
    assert sum(view.size for view in border.sent) < row.nbytes + 1000


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_answer_leaves_from_the_memory_of_the_output(urls, border, outputs, protocol):
    """However it is cut into frames."""
    row = np.arange(1_000_000, dtype=np.float32)
    np.testing.assert_array_equal(infer(urls, protocol, "double", row), 2 * row)
    (array,) = outputs
    assert shared(border.sent, array.view(np.uint8)) == row.nbytes
    assert sum(view.size for view in border.sent) < row.nbytes + 1000

"""The unmodified clients share memory with a server that has both frontends and a real model."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
import tritonclient.utils.shared_memory as shm
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

FLAVOURS = {"http": tritonclient.http, "grpc": tritonclient.grpc}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory, save_identity):
    """Serve identity models over both protocols, and tell where."""
    repository = tmp_path_factory.mktemp("models")
    save_identity(repository, "fp32")
    save_identity(repository, "text", "BYTES")
    settings = {"http-port": 0, "grpc-port": 0}
    with (
        Server(repository, options=ServerOptions(allow_client_shm=True)) as server,
        serve_in_thread(server, settings) as urls,
    ):
        yield dict(url.split("://") for url in urls)


@pytest.fixture
def connect(addresses):
    """Give a client of a flavour; all regions are unregistered at the end."""
    clients = {}

    def client(flavour):
        if flavour not in clients:
            clients[flavour] = FLAVOURS[flavour].InferenceServerClient(addresses[flavour])
        return clients[flavour]

    yield client
    client("http").unregister_system_shared_memory()
    for opened in clients.values():
        opened.close()


@contextmanager
def memory(size):
    """Have a shared memory object of the client's; gives the client's handle, and the key."""
    key = f"/charonia-test-{os.getpid()}-{secrets.token_hex(4)}"
    handle = shm.create_shared_memory_region("region", key, size)
    try:
        yield handle, key
    finally:
        shm.destroy_shared_memory_region(handle)
        assert not Path("/dev/shm", key.lstrip("/")).exists()


def mapped(key):
    """Count the mappings of an object in this process, which is also the client's."""
    return Path("/proc/self/maps").read_text().count(key.lstrip("/"))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_tensors_in_shared_memory(connect, flavour):
    """Rows are read from one region and written to another, again and again, and the response has none of them."""
    api, client = FLAVOURS[flavour], connect(flavour)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    with memory(rows.nbytes) as (given, given_key), memory(rows.nbytes) as (taken, taken_key):
        client.register_system_shared_memory("in", given_key, rows.nbytes)
        client.register_system_shared_memory("out", taken_key, rows.nbytes)
        tensor = api.InferInput("X", rows.shape, "FP32")
        tensor.set_shared_memory("in", rows.nbytes)
        output = api.InferRequestedOutput("Y")
        output.set_shared_memory("out", rows.nbytes)
        for scale in (1, 2, 3):
            shm.set_shared_memory_region(given, [rows * scale])
            answer = client.infer("fp32", [tensor], outputs=[output])
            told = answer.get_output("Y")
            assert (told["shape"] if flavour == "http" else list(told.shape)) == [4, 3]
            assert flavour == "grpc" or set(told) == {"name", "datatype", "shape"}
            assert np.array_equal(shm.get_contents_as_numpy(taken, np.float32, rows.shape), rows * scale)
        client.unregister_system_shared_memory()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_strings_in_shared_memory(connect, flavour):
    """BYTES tensors, too, lie in shared memory as they do on the wire."""
    api, client = FLAVOURS[flavour], connect(flavour)
    words = np.array([[b"one", b"", b"drei"]], np.object_)
    written = serialize_byte_tensor(words)
    with memory(1024) as (handle, key):
        client.register_system_shared_memory("both", key, 1024)
        shm.set_shared_memory_region(handle, [written])
        tensor = api.InferInput("X", words.shape, "BYTES")
        tensor.set_shared_memory("both", len(written.item()))
        output = api.InferRequestedOutput("Y")
        output.set_shared_memory("both", 1024 - 512, offset=512)
        client.infer("text", [tensor], outputs=[output])
        assert shm.get_contents_as_numpy(handle, np.object_, words.shape, offset=512).tolist() == words.tolist()
        client.unregister_system_shared_memory("both")


def test_names_are_the_same_over_both_protocols(connect):
    """A region that is registered over one protocol is used, told and unregistered over the other."""
    over_http, over_grpc = connect("http"), connect("grpc")
    with memory(64) as (handle, key):
        over_http.register_system_shared_memory("shared", key, 32, offset=32)
        row = np.array([[1, 2, 3]], np.float32)
        shm.set_shared_memory_region(handle, [row], offset=32)
        tensor = tritonclient.grpc.InferInput("X", [1, 3], "FP32")
        tensor.set_shared_memory("shared", 12)
        assert over_grpc.infer("fp32", [tensor]).as_numpy("Y").tolist() == row.tolist()
        (told,) = over_grpc.get_system_shared_memory_status().regions.values()
        assert (told.name, told.key, told.offset, told.byte_size) == ("shared", key, 32, 32)
        over_grpc.unregister_system_shared_memory("shared")
        assert over_http.get_system_shared_memory_status() == []


def test_same_object_under_two_names(connect):
    """One object may be two regions, and an end of one is none of the other."""
    client = connect("http")
    with memory(64) as (_, key):
        client.register_system_shared_memory("a", key, 64)
        client.register_system_shared_memory("b", key, 64)
        client.unregister_system_shared_memory("a")
        assert [region["name"] for region in client.get_system_shared_memory_status()] == ["b"]
        client.unregister_system_shared_memory("b")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_nothing_stays_mapped(connect, flavour):
    """After many requests the server has one mapping of an object, and after unregistering it has none."""
    api, client = FLAVOURS[flavour], connect(flavour)
    with memory(64) as (handle, key):
        own = mapped(key)
        client.register_system_shared_memory("r", key, 64)
        shm.set_shared_memory_region(handle, [np.ones((1, 3), np.float32)])
        tensor = api.InferInput("X", [1, 3], "FP32")
        tensor.set_shared_memory("r", 12)
        output = api.InferRequestedOutput("Y")
        output.set_shared_memory("r", 12, offset=16)
        for _ in range(50):
            client.infer("fp32", [tensor], outputs=[output])
        assert mapped(key) == own + 1
        client.unregister_system_shared_memory("r")
        client.is_server_live()  # the loop lets go of what it has just delivered
        assert mapped(key) == own


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_errors_reach_the_client(connect, flavour):
    """The clients raise what the server says."""
    api, client = FLAVOURS[flavour], connect(flavour)
    with pytest.raises(InferenceServerException, match="Unable to open shared memory region: '/no-such-object'"):
        client.register_system_shared_memory("r", "/no-such-object", 64)
    tensor = api.InferInput("X", [1, 3], "FP32")
    tensor.set_shared_memory("zz", 12)
    with pytest.raises(InferenceServerException, match="Unable to find shared memory region: 'zz'"):
        client.infer("fp32", [tensor])
    with pytest.raises(InferenceServerException, match="Unable to find cuda shared memory region: 'r'"):
        client.get_cuda_shared_memory_status("r")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_extensions_are_told(connect, flavour):
    """A client can see that it may ask for shared memory."""
    metadata = connect(flavour).get_server_metadata()
    extensions = metadata["extensions"] if flavour == "http" else metadata.extensions
    assert {"system_shared_memory", "cuda_shared_memory"} <= set(extensions)

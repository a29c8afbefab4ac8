"""The shared memory of clients: what can be registered, and what a part of it is."""

from __future__ import annotations

import os
from contextlib import contextmanager

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.errors import (
    AlreadyExistsError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    UnsupportedError,
)
from charonia.shared_memory import SharedMemory, SystemRegion
from charonia.testing.shared_objects import SharedObjects


@pytest.fixture
def client():
    with SharedObjects() as objects:
        yield objects


@pytest.fixture
def memory():
    registry = SharedMemory(allowed=True)
    yield registry
    registry.close()


@contextmanager
def refused(kind, text):
    with pytest.raises(kind) as caught:
        yield
    assert str(caught.value) == text


# -- registering


def test_register_and_tell(client, memory):
    """Regions are told sorted by name, as they were registered; one object can be several regions."""
    key = client.make("a", bytes(64))
    memory.register_system("z", key, 0, 64)
    memory.register_system("a", key, 16, 8)
    first, second = SystemRegion("a", key, 16, 8), SystemRegion("z", key, 0, 64)
    assert memory.system_regions() == [first, second]
    assert memory.system_regions("z") == [second]


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_slashes_before_a_key_mean_nothing(client, memory, slashes):
    """As with `shm_open`, an object is found with and without slashes in front, and the key is told as it was given."""
    client.make("a", bytes(8))
    key = slashes + client.prefix + "a"
    memory.register_system("r", key, 0, 8)
    assert memory.system_regions()[0].key == key


@pytest.mark.parametrize(("offset", "size"), [(0, 65), (8, 64), (64, 1), (2**64 - 1, 2), (0, 0), (0, -1), (-1, 8)])
def test_region_must_lie_in_its_object(client, memory, offset, size):
    """A region that is empty or reaches beyond the object is refused, and leaves nothing open."""
    key = client.make("a", bytes(64))
    with refused(InvalidArgumentError, "failed to register shared memory region 'r': invalid args"):
        memory.register_system("r", key, offset, size)
    assert memory.system_regions() == []
    assert client.opened == 0


@pytest.mark.parametrize("key", ["", "/", "/..", "/.", "/a/b", "/../etc/passwd", "/a\0b", "/\ud800", "/" + "x" * 300])
def test_key_that_names_no_object(memory, key):
    """A key that is no name of an object opens nothing: no path, no parent directory."""
    with refused(InternalError, f"Unable to open shared memory region: '{key}'"):
        memory.register_system("r", key, 0, 8)


def test_only_objects_are_opened(client, memory):
    """What lies among the objects, but is a directory, a link or a pipe, is not opened, and nobody waits for its other end."""
    client.path("directory").mkdir()
    client.path("link").symlink_to(client.path("directory"))
    os.mkfifo(client.path("pipe"))
    for label in ("directory", "link", "pipe", "missing"):
        with refused(InternalError, f"Unable to open shared memory region: '{client.key(label)}'"):
            memory.register_system("r", client.key(label), 0, 8)


def test_name_in_use(client, memory):
    """A name is taken until it is unregistered, by regions of either kind."""
    key = client.make("a", bytes(8))
    memory.register_system("r", key, 0, 8)
    with refused(AlreadyExistsError, "shared memory region 'r' already in manager"):
        memory.register_system("r", key, 0, 8)
    with refused(AlreadyExistsError, "shared memory region 'r' already in manager"):
        memory.register_cuda("r")
    memory.unregister_system("r")
    memory.register_system("r", key, 0, 8)


def test_the_empty_name_is_a_name(client, memory):
    """As in the reference, a region may have the empty name: requests can use it, and only unregistering all removes it."""
    memory.register_system("", client.make("a", b"12345678"), 0, 8)
    assert bytes(memory.slice("", 0, 8).view()) == b"12345678"
    memory.unregister_system()
    assert memory.system_regions() == []


def test_name_that_is_no_text(client, memory):
    """A name that no frontend could tell is refused."""
    with refused(InvalidArgumentError, "cannot register shared memory region '\\udcff': the name is no Unicode text"):
        memory.register_system("\udcff", client.make("a", bytes(8)), 0, 8)


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_reserved_key(memory, slashes):
    """Keys of the reference's own objects are refused before anything is opened."""
    key = slashes + "triton_python_backend_shm_region_1"
    text = (
        f"cannot register shared memory region 'r' with key '{key}' as the key contains the reserved prefix "
        "'triton_python_backend_shm_region_'"
    )
    with refused(InvalidArgumentError, text):
        memory.register_system("r", key, 0, 8)


def test_status_of_unknown(client, memory):
    """An unknown name is told as such, and a name of the other kind as that."""
    with refused(NotFoundError, "Unable to find system shared memory region: 'x'"):
        memory.system_regions("x")
    with refused(NotFoundError, "Unable to find cuda shared memory region: 'x'"):
        memory.require_cuda_region("x")
    memory.register_system("x", client.make("a", bytes(8)), 0, 8)
    text = "The region named 'x' is registered as system shared memory, not CUDA shared memory"
    with refused(NotFoundError, text):
        memory.require_cuda_region("x")
    memory.require_cuda_region("")


def test_no_gpu_is_shared(memory):
    """A region of a GPU is refused in the words of a reference that is built without GPUs."""
    with refused(InvalidArgumentError, "failed to register CUDA shared memory region: 'c0', GPUs not supported"):
        memory.register_cuda("c0")


def test_unregistering_nothing_is_no_error(memory):
    """As in the reference, an unknown region may be unregistered."""
    memory.unregister_system("x")
    memory.unregister_system()


def test_shared_memory_that_is_not_allowed(client):
    """Without the option nothing is registered or unregistered, with the option's name in the text; asking is still allowed."""
    memory = SharedMemory(allowed=False)
    for wish in (
        lambda: memory.register_system("r", client.make("a", bytes(8)), 0, 8),
        lambda: memory.register_cuda("r"),
        memory.unregister_system,
        memory.require_allowed,
    ):
        with refused(
            UnsupportedError,
            "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
        ):
            wish()
    assert memory.system_regions() == []
    with pytest.raises(NotFoundError):
        memory.slice("r", 0, 1)


def test_server_owns_the_regions(client):
    """The server's option allows shared memory, and its end unmaps all of it."""
    assert not ServerOptions().allow_client_shm
    server = Server(options=ServerOptions(allow_client_shm=True))
    server.shared_memory.register_system("r", client.make("a", bytes(8)), 0, 8)
    assert client.mapped == 1
    server.close()
    assert client.mapped == client.opened == 0
    with pytest.raises(InternalError, match="'r' cannot be registered: the server has stopped"):
        server.shared_memory.register_system("r", client.key("a"), 0, 8)


# -- parts of regions


def test_slice_is_a_view(client, memory):
    """A part is the object's own bytes, counted from the region's start, and cannot be written through."""
    content = bytes(range(64))
    memory.register_system("r", client.make("a", content), 8, 32)
    view = memory.slice("r", 4, 6).view()
    assert bytes(view) == content[12:18]
    assert view.readonly
    with client.path("a").open("r+b") as object_:
        object_.seek(12)
        object_.write(b"changed"[:6])
    assert bytes(view) == b"change"


@pytest.mark.parametrize(
    ("offset", "size", "text"),
    [
        (64, 1, "Invalid offset for shared memory region: 'r'"),
        (64, 0, "Invalid offset for shared memory region: 'r'"),
        (2**64 - 1, 1, "Invalid offset for shared memory region: 'r'"),
        (-1, 1, "Invalid offset for shared memory region: 'r'"),
        (0, 65, "Invalid offset + byte size for shared memory region: 'r'"),
        (60, 5, "Invalid offset + byte size for shared memory region: 'r'"),
        (0, 0, "Invalid offset + byte size for shared memory region: 'r'"),
        (0, -1, "Invalid offset + byte size for shared memory region: 'r'"),
        (1, 2**64 - 1, "Invalid offset + byte size for shared memory region: 'r'"),
    ],
)
def test_slice_must_lie_in_its_region(client, memory, offset, size, text):
    """A part that is empty or reaches beyond the region is refused."""
    memory.register_system("r", client.make("a", bytes(128)), 0, 64)
    with refused(InvalidArgumentError, text):
        memory.slice("r", offset, size)


def test_slice_of_unknown_region(memory):
    """A region that nobody registered cannot be used."""
    with refused(NotFoundError, "Unable to find shared memory region: 'zz'"):
        memory.slice("zz", 0, 1)


def test_object_that_has_been_shrunk(client, memory):
    """What lies beyond the object's real size is refused, though it was there when the region was registered."""
    memory.register_system("r", client.make("a", bytes(64)), 0, 64)
    place = memory.slice("r", 16, 32)
    os.truncate(client.path("a"), 32)
    assert len(memory.slice("r", 0, 32).view()) == 32
    with refused(InvalidArgumentError, "Invalid offset + byte size for shared memory region: 'r'"):
        memory.slice("r", 16, 17)
    with pytest.raises(
        InternalError, match=f"'O' cannot be written.* region 'r': the object '{client.key('a')}' has become"
    ):
        place.write_tensor("O", np.zeros(32, np.uint8))
    assert client.path("a").stat().st_size == 32

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


@contextmanager
def refused(kind, text):
    with pytest.raises(kind) as caught:
        yield
    assert str(caught.value) == text


# -- registering


def test_register_and_tell(objects, regions):
    """Regions are told sorted by name, as they were registered; one object can be several regions."""
    key = objects.make("a", bytes(64))
    regions.register_system("z", key, 0, 64)
    regions.register_system("a", key, 16, 8)
    first, second = SystemRegion("a", key, 16, 8), SystemRegion("z", key, 0, 64)
    assert regions.system_regions() == [first, second]
    assert regions.system_regions("z") == [second]


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_slashes_before_a_key_mean_nothing(objects, regions, slashes):
    """As with `shm_open`, an object is found with and without slashes in front, and the key is told as it was given."""
    objects.make("a", bytes(8))
    key = slashes + objects.prefix + "a"
    regions.register_system("r", key, 0, 8)
    assert regions.system_regions()[0].key == key


@pytest.mark.parametrize(("offset", "size"), [(0, 65), (8, 64), (64, 1), (2**64 - 1, 2), (0, 0), (0, -1), (-1, 8)])
def test_region_must_lie_in_its_object(objects, regions, offset, size):
    """A region that is empty or reaches beyond the object is refused, and leaves nothing open."""
    key = objects.make("a", bytes(64))
    with refused(InvalidArgumentError, "failed to register shared memory region 'r': invalid args"):
        regions.register_system("r", key, offset, size)
    assert regions.system_regions() == []
    assert objects.opened == 0


@pytest.mark.parametrize("key", ["", "/", "/..", "/.", "/a/b", "/../etc/passwd", "/a\0b", "/\ud800", "/" + "x" * 300])
def test_key_that_names_no_object(regions, key):
    """A key that is no name of an object opens nothing: no path, no parent directory."""
    with refused(InternalError, f"Unable to open shared memory region: '{key}'"):
        regions.register_system("r", key, 0, 8)


def test_only_objects_are_opened(objects, regions):
    """What lies among the objects, but is a directory, a link or a pipe, is not opened, and nobody waits for its other end."""
    objects.path("directory").mkdir()
    objects.path("link").symlink_to(objects.path("directory"))
    os.mkfifo(objects.path("pipe"))
    for label in ("directory", "link", "pipe", "missing"):
        with refused(InternalError, f"Unable to open shared memory region: '{objects.key(label)}'"):
            regions.register_system("r", objects.key(label), 0, 8)


def test_name_in_use(objects, regions):
    """A name is taken until it is unregistered, by regions of either kind."""
    key = objects.make("a", bytes(8))
    regions.register_system("r", key, 0, 8)
    with refused(AlreadyExistsError, "shared memory region 'r' already in manager"):
        regions.register_system("r", key, 0, 8)
    with refused(AlreadyExistsError, "shared memory region 'r' already in manager"):
        regions.register_cuda("r")
    regions.unregister_system("r")
    regions.register_system("r", key, 0, 8)


def test_the_empty_name_is_a_name(objects, regions):
    """As in the reference, a region may have the empty name: requests can use it, and only unregistering all removes it."""
    regions.register_system("", objects.make("a", b"12345678"), 0, 8)
    assert bytes(regions.slice("", 0, 8).view()) == b"12345678"
    regions.unregister_system()
    assert regions.system_regions() == []


def test_name_that_is_no_text(objects, regions):
    """A name that no frontend could tell is refused."""
    with refused(InvalidArgumentError, "cannot register shared memory region '\\udcff': the name is no Unicode text"):
        regions.register_system("\udcff", objects.make("a", bytes(8)), 0, 8)


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_reserved_key(regions, slashes):
    """Keys of the reference's own objects are refused before anything is opened."""
    key = slashes + "triton_python_backend_shm_region_1"
    text = (
        f"cannot register shared memory region 'r' with key '{key}' as the key contains the reserved prefix "
        "'triton_python_backend_shm_region_'"
    )
    with refused(InvalidArgumentError, text):
        regions.register_system("r", key, 0, 8)


def test_status_of_unknown(objects, regions):
    """An unknown name is told as such, and a name of the other kind as that."""
    with refused(NotFoundError, "Unable to find system shared memory region: 'x'"):
        regions.system_regions("x")
    with refused(NotFoundError, "Unable to find cuda shared memory region: 'x'"):
        regions.require_cuda_region("x")
    regions.register_system("x", objects.make("a", bytes(8)), 0, 8)
    text = "The region named 'x' is registered as system shared memory, not CUDA shared memory"
    with refused(NotFoundError, text):
        regions.require_cuda_region("x")
    regions.require_cuda_region("")


def test_no_gpu_is_shared(regions):
    """A region of a GPU is refused in the words of a reference that is built without GPUs."""
    with refused(InvalidArgumentError, "failed to register CUDA shared memory region: 'c0', GPUs not supported"):
        regions.register_cuda("c0")


def test_unregistering_nothing_is_no_error(regions):
    """As in the reference, an unknown region may be unregistered."""
    regions.unregister_system("x")
    regions.unregister_system()


def test_shared_memory_that_is_not_allowed(objects):
    """Without the option nothing is registered or unregistered, with the option's name in the text; asking is still allowed."""
    regions = SharedMemory(allowed=False)
    for wish in (
        lambda: regions.register_system("r", objects.make("a", bytes(8)), 0, 8),
        lambda: regions.register_cuda("r"),
        regions.unregister_system,
        regions.require_allowed,
    ):
        with refused(
            UnsupportedError,
            "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
        ):
            wish()
    assert regions.system_regions() == []
    with pytest.raises(NotFoundError):
        regions.slice("r", 0, 1)


def test_server_owns_the_regions(objects):
    """The server's option allows shared memory, and its end unmaps all of it."""
    assert not ServerOptions().allow_client_shm
    server = Server(options=ServerOptions(allow_client_shm=True))
    server.shared_memory.register_system("r", objects.make("a", bytes(8)), 0, 8)
    assert objects.mapped == 1
    server.close()
    assert objects.mapped == objects.opened == 0
    with pytest.raises(InternalError, match="'r' cannot be registered: the server has stopped"):
        server.shared_memory.register_system("r", objects.key("a"), 0, 8)


# -- parts of regions


def test_slice_is_a_view(objects, regions):
    """A part is the object's own bytes, counted from the region's start, and cannot be written through."""
    content = bytes(range(64))
    regions.register_system("r", objects.make("a", content), 8, 32)
    view = regions.slice("r", 4, 6).view()
    assert bytes(view) == content[12:18]
    assert view.readonly
    with objects.path("a").open("r+b") as object_:
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
def test_slice_must_lie_in_its_region(objects, regions, offset, size, text):
    """A part that is empty or reaches beyond the region is refused."""
    regions.register_system("r", objects.make("a", bytes(128)), 0, 64)
    with refused(InvalidArgumentError, text):
        regions.slice("r", offset, size)


def test_slice_of_unknown_region(regions):
    """A region that nobody registered cannot be used."""
    with refused(NotFoundError, "Unable to find shared memory region: 'zz'"):
        regions.slice("zz", 0, 1)


def test_object_that_has_been_shrunk(objects, regions):
    """What lies beyond the object's real size is refused, though it was there when the region was registered."""
    regions.register_system("r", objects.make("a", bytes(64)), 0, 64)
    place = regions.slice("r", 16, 32)
    os.truncate(objects.path("a"), 32)
    assert len(regions.slice("r", 0, 32).view()) == 32
    with refused(InvalidArgumentError, "Invalid offset + byte size for shared memory region: 'r'"):
        regions.slice("r", 16, 17)
    with pytest.raises(
        InternalError, match=f"'O' cannot be written.* region 'r': the object '{objects.key('a')}' has become"
    ):
        place.write_tensor("O", np.zeros(32, np.uint8))
    assert objects.path("a").stat().st_size == 32

"""The shared memory of clients: regions that they register once, and from then on name instead of sending data.

    client                                this server
    shm_open("/in"), write      ──►       register "r0" = 64 bytes of "/in", mapped here
    infer: INPUT0 is in "r0"    ──►       the input is a view of the mapping, nothing is copied
    read its own memory         ◄──       outputs are written into their region, the response tells only their shape

A mapping lives as long as anything looks into it: whoever holds a view holds the memory. A region that is unregistered while
requests use it is therefore gone for new requests at once, and unmapped when the last of those requests has ended. Nobody counts
users, so nobody can forget one.

Inputs are mapped read-only, so that no model can change what a client still owns. Outputs are written through the file, not
through the mapping: where the client has shrunk the object or the memory is full, a write is then an error instead of a signal
that ends the process. Reading has no such way without a copy, so that a client can still end the server by shrinking an object
that is being read: that is why clients' shared memory must be allowed.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from charonia.datatypes import DataType
from charonia.errors import (
    AlreadyExistsError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    UnsupportedError,
)
from charonia.tensor import actual_datatype, as_numpy, encode_bytes

if TYPE_CHECKING:
    from charonia.tensor import Tensor

__all__ = ["RegionSlice", "SharedMemory", "SystemRegion"]

_DIRECTORY = "/dev/shm"  # noqa: S108 - where the system keeps POSIX shared memory objects, not a place for files of ours
_RESERVED_PREFIX = "triton_python_backend_shm_region_"


@dataclass(frozen=True)
class SystemRegion:
    """What is told about a region.

    Attributes:
        name: the name that clients use.
        key: the name of the POSIX shared memory object, as it was registered.
        offset: where in the object the region starts, in bytes.
        byte_size: its size in bytes.
    """

    name: str
    key: str
    offset: int
    byte_size: int


class _Mapping:
    """An object of shared memory, open and mapped. Ends with its last user.

    Args:
        facts: what is to be mapped.

    Raises:
        InferenceError: it cannot be.
    """

    def __init__(self, facts: SystemRegion) -> None:
        self.facts = facts
        self.descriptor = _open(facts.key)
        weakref.finalize(self, os.close, self.descriptor)
        end = facts.offset + facts.byte_size
        problem = f"failed to register shared memory region '{facts.name}'"
        if facts.byte_size <= 0 or facts.offset < 0 or end > self.real_size():
            raise InvalidArgumentError(f"{problem}: invalid args")
        try:  # from the start of the object, since a mapping cannot start where no page does
            self.memory = mmap.mmap(self.descriptor, end, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:  # a limit is reached, or the object has just become smaller
            raise InternalError(f"{problem}: {error}") from error

    def real_size(self) -> int:
        """Tell how large the object is now, in bytes."""
        return os.fstat(self.descriptor).st_size


class RegionSlice:
    """A part of a region, which holds one tensor. Whoever has it keeps the region's memory mapped."""

    __slots__ = ("_mapping", "_size", "_start")

    def __init__(self, mapping: _Mapping, start: int, size: int) -> None:
        self._mapping = mapping
        self._start = start
        self._size = size

    def view(self) -> memoryview:
        """Give the bytes without a copy, read-only."""
        return memoryview(self._mapping.memory)[self._start : self._start + self._size]

    def write_tensor(self, output: str, tensor: Tensor) -> None:
        """Write a tensor in its binary form to the start of the slice. May block for as long as a copy takes.

        Args:
            output: the output's name, for errors.
            tensor: the tensor; as in the reference, it may be smaller than the slice.

        Raises:
            InternalError: the tensor is larger than the slice, in the reference's words; or the memory cannot be written.
            InvalidArgumentError: the tensor has no way into numpy.
        """
        data = _binary(output, tensor)
        if len(data) > self._size:
            raise InternalError(
                f"shared memory size specified with the request for output '{output}' ({self._size} bytes) should be at least "
                f"{len(data)} bytes to hold the results"
            )
        at = self._start
        end = at + len(data)
        if end > self._mapping.real_size():  # a write would make it larger again
            raise InternalError(f"{self._problem(output)}: the object '{self._mapping.facts.key}' has become smaller")
        try:
            while at < end:
                at += os.pwrite(self._mapping.descriptor, data[at - end :], at)
        except OSError as error:
            raise InternalError(f"{self._problem(output)}: {error.strerror}") from error

    def _problem(self, output: str) -> str:
        return f"output '{output}' cannot be written into shared memory region '{self._mapping.facts.name}'"


class SharedMemory:
    """The regions that clients have registered, by name; system and CUDA regions share the names. Any thread.

    Args:
        allowed: whether clients may register and unregister.
    """

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self._lock = threading.Lock()  # guards `_mappings`, whose values do not change, and `_closed`
        self._mappings: dict[str, _Mapping] = {}
        self._closed = False

    def require_allowed(self) -> None:
        """Refuse a client's wish to register or unregister, unless the server's options let clients do it.

        Raises:
            UnsupportedError: they do not; with the text of later releases of the reference, which names the option.
        """
        if not self._allowed:
            raise UnsupportedError(
                "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
            )

    def register_system(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Map a POSIX shared memory object under a name. One object may be mapped under several names.

        Args:
            name: the region's name; the empty one is a name, too, as in the reference.
            key: the object's name; slashes in front mean nothing.
            offset: where in the object the region starts, in bytes; 0 or more.
            byte_size: its size in bytes; 0 or more.

        Raises:
            UnsupportedError: clients may not do that.
            AlreadyExistsError: the name is in use.
            InvalidArgumentError: the region reaches beyond the object, is empty, or the key is reserved; or the name is no text.
            InternalError: there is no such object, or it cannot be opened; as in the reference, whose text it has.
        """
        self.require_allowed()
        try:
            name.encode()
        except UnicodeEncodeError as error:  # it could not be told
            problem = f"cannot register shared memory region {name!a}: the name is no Unicode text"
            raise InvalidArgumentError(problem) from error
        if key.lstrip("/").startswith(_RESERVED_PREFIX):
            raise InvalidArgumentError(
                f"cannot register shared memory region '{name}' with key '{key}' as the key contains the reserved prefix "
                f"'{_RESERVED_PREFIX}'"
            )
        with self._lock:
            if self._closed:
                raise InternalError(f"shared memory region '{name}' cannot be registered: the server has stopped")
            self._require_free(name)
            self._mappings[name] = _Mapping(SystemRegion(name, key, offset, byte_size))

    def register_cuda(self, name: str) -> None:
        """Refuse a region in a GPU's memory: no GPU's memory can be opened here.

        Raises:
            UnsupportedError: clients may not register anything.
            AlreadyExistsError: the name is in use.
            InvalidArgumentError: always, if nothing else; the text is that of a reference without GPUs.
        """
        self.require_allowed()
        with self._lock:
            self._require_free(name)
        raise InvalidArgumentError(f"failed to register CUDA shared memory region: '{name}', GPUs not supported")

    def _require_free(self, name: str) -> None:
        if name in self._mappings:
            raise AlreadyExistsError(f"shared memory region '{name}' already in manager")

    def system_regions(self, name: str = "") -> list[SystemRegion]:
        """Tell about one region, or about all, sorted by name.

        Raises:
            NotFoundError: there is no such region.
        """
        with self._lock:
            if not name:
                return [self._mappings[known].facts for known in sorted(self._mappings)]
            if name not in self._mappings:
                raise NotFoundError(f"Unable to find system shared memory region: '{name}'")
            return [self._mappings[name].facts]

    def require_cuda_region(self, name: str) -> None:
        """Refuse a name that is asked for as a region in a GPU's memory, of which there is none; the empty one asks for all.

        Raises:
            NotFoundError: always, if a name is given; the text tells where the name is that of a system region.
        """
        if not name:
            return
        with self._lock:
            if name in self._mappings:
                raise NotFoundError(
                    f"The region named '{name}' is registered as system shared memory, not CUDA shared memory"
                )
        raise NotFoundError(f"Unable to find cuda shared memory region: '{name}'")

    def unregister_system(self, name: str = "") -> None:
        """Forget one region, or all. As in the reference, one that is unknown, or of the other kind, is no error.

        Requests that use it go on, and their last one unmaps it.

        Raises:
            UnsupportedError: clients may not do that.
        """
        self.require_allowed()
        with self._lock:
            if name:
                self._mappings.pop(name, None)
            else:
                self._mappings.clear()

    def slice(self, name: str, offset: int, byte_size: int) -> RegionSlice:
        """Give a part of a region, after a look at how large the object really is by now.

        Args:
            name: the region's name.
            offset: where in the region the part starts, in bytes.
            byte_size: its size in bytes; as in the reference, an empty part is refused.

        Raises:
            NotFoundError: there is no such region.
            InvalidArgumentError: the part reaches beyond the region, or beyond the object, which its owner has shrunk.
        """
        mapping = self._mappings.get(name)  # one step, so that no lock is needed on the way of a request
        if mapping is None:
            raise NotFoundError(f"Unable to find shared memory region: '{name}'")
        facts = mapping.facts
        if not 0 <= offset < facts.byte_size:
            raise InvalidArgumentError(f"Invalid offset for shared memory region: '{name}'")
        start = facts.offset + offset
        if byte_size <= 0 or offset + byte_size > facts.byte_size or start + byte_size > mapping.real_size():
            raise InvalidArgumentError(f"Invalid offset + byte size for shared memory region: '{name}'")
        return RegionSlice(mapping, start, byte_size)

    def close(self) -> None:
        """Forget all regions, and take no new ones. Idempotent."""
        with self._lock:
            self._closed = True
            self._mappings.clear()


def _open(key: str) -> int:
    """Open an object as `shm_open` does: one name, no path, no link. The descriptor is the caller's."""
    name = key.lstrip("/")
    problem = f"Unable to open shared memory region: '{key}'"
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        raise InternalError(problem)
    try:
        descriptor = os.open(f"{_DIRECTORY}/{name}".encode(), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, UnicodeError) as error:
        raise InternalError(problem) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InternalError(problem)
    return descriptor


def _binary(output: str, tensor: Tensor) -> memoryview:
    """Give the bytes of a tensor as they go over the wire: a copy only of what does not lie in one piece already."""
    array, datatype = actual_datatype(output, as_numpy(tensor))
    if datatype is DataType.BYTES:
        return memoryview(encode_bytes(array))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data

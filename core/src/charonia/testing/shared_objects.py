"""The shared memory objects of a client, for tests of what a server does with them."""

from __future__ import annotations

import gc
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["SharedObjects"]

_DIRECTORY = Path("/dev/shm")  # noqa: S108 - where the system keeps POSIX shared memory objects


class SharedObjects:
    """Objects whose names no other test has. They are removed at the end, when nothing in this process may use them any more.

        with SharedObjects() as objects, Server(options=options) as server:
            server.shared_memory.register_system("r", objects.make("in", b"..."), offset=0, byte_size=3)

    Attributes:
        prefix: what all their names begin with.
    """

    def __init__(self) -> None:
        self.prefix = f"charonia-test-{os.getpid()}-{secrets.token_hex(4)}-"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for path in _DIRECTORY.glob(f"{self.prefix}*"):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        assert (self.mapped, self.opened) == (0, 0), f"{self.prefix}* is still in use"

    def key(self, label: str) -> str:
        """Give the name of an object, as a client registers it. It need not exist."""
        return f"/{self.prefix}{label}"

    def path(self, label: str) -> Path:
        """Give the file that an object is."""
        return _DIRECTORY / f"{self.prefix}{label}"

    def make(self, label: str, content: bytes) -> str:
        """Make an object that holds some bytes. Gives its key."""
        self.path(label).write_bytes(content)
        return self.key(label)

    @property
    def mapped(self) -> int:
        """How many mappings of these objects this process has."""
        return self._count(lambda: Path("/proc/self/maps").read_text().splitlines())

    @property
    def opened(self) -> int:
        """How many descriptors of these objects this process has."""
        return self._count(_descriptors)

    def _count(self, read: Callable[[], Iterable[str]]) -> int:
        """Count lines; where there are any, count them again when garbage has been collected."""
        count = sum(self.prefix in line for line in read())
        if count:
            gc.collect()
            count = sum(self.prefix in line for line in read())
        return count


def _descriptors() -> Iterator[str]:
    """Tell what the descriptors of this process stand for."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the descriptor of the listing itself
            yield str(entry.readlink())

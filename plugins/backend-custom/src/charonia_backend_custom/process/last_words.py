"""The answers that a process holds back, where its server finds them if it ends before it has sent them."""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from contextlib import suppress
from typing import Any, BinaryIO, TypeAlias

__all__ = ["Answered", "LastWords", "room_for_last_words"]

_SIZE = 1 << 16
_USED = struct.Struct("<Q")
"""How many bytes are used after it."""

Answered: TypeAlias = tuple[int, Any, Exception | None]
"""A question's number, the answer, or why there is none."""


def room_for_last_words() -> BinaryIO:
    """Make the memory for it, without a name. It is the caller's to close."""
    memory = os.fdopen(os.memfd_create("charonia-last-words", os.MFD_CLOEXEC), "r+b")
    memory.truncate(_SIZE)
    return memory


class LastWords:
    """One side of it: the process's keeps and forgets, the server's reads when the process has ended.

    Args:
        memory: what `room_for_last_words` has made, here or there; it may be closed afterwards.
    """

    def __init__(self, memory: BinaryIO) -> None:
        self._memory = mmap.mmap(memory.fileno(), _SIZE)
        self._used = 0

    @property
    def mark(self) -> int:
        """How far it is used."""
        return self._used

    def keep(self, answered: Answered) -> bool:
        """Keep an answer, on the one thread that does so; False where there is no room for it."""
        words = pickle.dumps(answered, pickle.HIGHEST_PROTOCOL)
        start = _USED.size + self._used
        if start + len(words) > _SIZE:
            return False
        self._memory[start : start + len(words)] = words
        self._used += len(words)
        _USED.pack_into(self._memory, 0, self._used)
        return True

    def forget(self, mark: int) -> None:
        """Forget all, if nothing was kept since the mark was read: what was sent by then need not be kept."""
        if mark == self._used:
            self._used = 0
            _USED.pack_into(self._memory, 0, 0)

    def read(self) -> list[Answered]:
        """Give what was kept last, some of which may have been sent."""
        kept: list[Answered] = []
        with suppress(Exception):  # a process that has fallen over its own memory may have written here, too
            (used,) = _USED.unpack_from(self._memory)
            self._memory.seek(_USED.size)
            while self._memory.tell() < _USED.size + used:
                number, value, error = pickle.load(self._memory)  # noqa: S301 - as what comes over the line
                kept.append((number, value, error))
        return kept

"""How much of this machine's memory something takes, as far as that can be found out from outside."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Growth", "GrowthMeter", "files_byte_size", "resident_byte_size"]


def files_byte_size(place: Path) -> int:
    """Tell the size of a file, or of all files below a directory, in bytes, without `__pycache__`; 0 where there is none."""
    if place.is_file():
        return place.stat().st_size
    size = 0
    for folder, folders, files in os.walk(place):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            with suppress(OSError):  # it went meanwhile, or is a link to nowhere
                size += Path(folder, name).stat().st_size
    return size


def resident_byte_size(pid: int | None = None) -> int:
    """Tell how much memory a process takes now, in bytes; this one if not said.

    Gives 0 where there is no such process, or where the system does not say (it is asked through /proc).
    """
    try:
        pages = Path("/proc", "self" if pid is None else str(pid), "statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Growth:
    """By how many bytes the process grew while something was done; 0 if it did not, or if that cannot be told."""

    byte_size: int = 0


class GrowthMeter:
    """Measures by how much the process grows. Any thread may measure; of those who do at the same time, none learns anything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._measuring = 0
        self._begun = 0

    @contextmanager
    def measured(self) -> Iterator[Growth]:
        """Measure the block. What is given has the answer at the block's end."""
        growth = Growth()
        with self._lock:
            self._begun += 1
            mine, alone = self._begun, self._measuring == 0
            self._measuring += 1
        before = resident_byte_size()
        try:
            yield growth
        finally:
            after = resident_byte_size()
            with self._lock:
                self._measuring -= 1
                if alone and self._begun == mine:
                    growth.byte_size = max(0, after - before)

"""The CPU time that another process has used, of all its threads, and of the first one apart from the others."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.latency import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ThreadTimes", "cpu_ns", "thread_times_reader"]

_CLOCK_BITS, _CPU_CLOCK = 3, 2
"""How Linux numbers the clock of a process's CPU time, which counts nanoseconds where all else counts hundredths of a second."""
_LOOK_SECONDS = 0.000_02
_PATIENCE_SECONDS = 30.0


class ThreadTimes(NamedTuple):
    """How much CPU time was used up to now, in user and in kernel mode, in nanoseconds.

    Attributes:
        first_ns: by the first thread, which is the one that answers requests.
        others_ns: by all others, those that have ended included.
    """

    first_ns: int
    others_ns: int


def cpu_ns(pid: int) -> int:
    """Tell the CPU time of a process, in nanoseconds.

    Linux books the time of a thread when the thread stops running, and before that some hundred times a second.

    Raises:
        OSError: there is no such process.
    """
    return time.clock_gettime_ns(~pid << _CLOCK_BITS | _CPU_CLOCK)


def thread_times_reader(pid: int) -> Callable[[], ThreadTimes]:
    """Give what reads the times of a process's threads.

    It waits until the first one rests, so that all its time is booked; which is soon where nobody asks it anything. Of
    another thread that runs just then, some milliseconds are told the next time.

    Raises:
        LoadError: it does not rest for half a minute; when it is read, too.
        OSError: there is no such process; when it is read, too.
    """
    folder = Path(f"/proc/{pid}/task/{pid}")

    def runs() -> bool:
        return (folder / "stat").read_bytes().rpartition(b") ")[2].startswith(b"R")

    def read() -> ThreadTimes:
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while runs():
            if time.monotonic() > give_up:
                raise LoadError(f"the process {pid} is still busy {_PATIENCE_SECONDS:g} s after the last request")
            threading.Event().wait(_LOOK_SECONDS)
        first_ns = int((folder / "schedstat").read_bytes().split()[0])
        return ThreadTimes(first_ns, cpu_ns(pid) - first_ns)

    read()
    return read

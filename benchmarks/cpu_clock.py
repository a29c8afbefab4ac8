"""The CPU time of a server, read all through a run, so that it can be told for any part of it afterwards."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["CpuClock"]

_PERIOD_SECONDS = 0.05


class CpuClock:
    """Reads the CPU time now and then for as long as the block lasts, on a thread that the end of the block joins.

    A load generator says only afterwards which requests it counted, and it sends more than those.

    Args:
        cpu_seconds: reads the CPU time that was used so far.
    """

    def __init__(self, cpu_seconds: Callable[[], float]) -> None:
        self._cpu_seconds = cpu_seconds
        self._times_ns: list[int] = []
        self._used_seconds: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read_until_end, name="cpu-clock", daemon=True)

    def __enter__(self) -> Self:
        self._read()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        if error is None:
            self._read()

    def _read_until_end(self) -> None:
        while not self._end.wait(_PERIOD_SECONDS):
            self._read()

    def _read(self) -> None:
        self._used_seconds.append(self._cpu_seconds())
        self._times_ns.append(time.time_ns())

    def seconds_between(self, begin_ns: int, end_ns: int) -> float:
        """Tell the CPU time that was used between two times of the system's clock (`time.time_ns`) within the block."""
        begin, end = np.interp([begin_ns, end_ns], self._times_ns, self._used_seconds)
        return float(end - begin)

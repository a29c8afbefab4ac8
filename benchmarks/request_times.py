"""What a request takes of a server that clients in step ask: a hundred requests, and their times divided by their number."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.clients_in_step import ClientsInStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.cpu_times import ThreadTimes
    from benchmarks.sides import Side
    from benchmarks.ways import Way

__all__ = ["QUIET", "SENT", "RequestTimes", "take_request_times", "warm_clients"]

QUIET = ("--allow-metrics=false", f"--log-file={os.devnull}")
"""The flags of a server that does nothing else meanwhile."""

_MODEL = "identity"
_CLIENTS = 20
_STEPS_TO_WARM_UP = 200
_STEPS = 5
"""Of the clients: together a hundred requests, one of which is traced where one in a hundred is."""
_STEPS_BEFORE = 1
"""What comes before has its effects on them, which do not count."""
SENT = _CLIENTS * (_STEPS_BEFORE + _STEPS)
"""How many requests are sent in all."""


@dataclass(frozen=True)
class RequestTimes:
    """What a request took, in microseconds.

    Attributes:
        cpu_us: CPU time of the thread that answers.
        others_us: CPU time that other threads used meanwhile, whatever for.
        time_us: time until all requests were answered, divided by their number.
    """

    cpu_us: float
    others_us: float
    time_us: float


@contextmanager
def warm_clients(side: Side, way: Way) -> Iterator[ClientsInStep]:
    """Give the clients of a server, which knows them by now.

    Raises:
        LoadError: a request failed.
    """
    with ClientsInStep(way, side.port(way), _MODEL, _CLIENTS) as clients:
        clients.step(_STEPS_TO_WARM_UP)
        yield clients


def take_request_times(clients: ClientsInStep, spent: Callable[[], ThreadTimes]) -> RequestTimes:
    """Have the clients send their requests.

    Args:
        clients: those that `warm_clients` has given.
        spent: reads the CPU times of the server's threads.

    Raises:
        LoadError: a request failed.
        ServerError: the server has ended.
    """
    clients.step(_STEPS_BEFORE)
    before, begun_ns = spent(), time.perf_counter_ns()
    clients.step(_STEPS)
    ended_ns, after = time.perf_counter_ns(), spent()
    cpu_ns, others_ns = after.first_ns - before.first_ns, after.others_ns - before.others_ns
    return RequestTimes(*(ns / 1000 / (_CLIENTS * _STEPS) for ns in (cpu_ns, others_ns, ended_ns - begun_ns)))

"""What a request takes of a server that clients in step ask: a hundred requests, and their times divided by their number."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.clients_in_step import ClientsInStep
    from benchmarks.cpu_times import ThreadTimes

__all__ = ["CLIENTS", "SENT", "RequestTimes", "take_request_times"]

CLIENTS = 20
"""How many clients there are."""
_STEPS = 5
"""Of the clients: together a hundred requests, one of which is traced where one in a hundred is."""
_STEPS_BEFORE = 1
"""What comes before has its effects on them, which do not count."""
SENT = CLIENTS * (_STEPS_BEFORE + _STEPS)
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


def take_request_times(clients: ClientsInStep, spent: Callable[[], ThreadTimes]) -> RequestTimes:
    """Have the clients send their requests.

    Args:
        clients: so many clients of the server as `CLIENTS` says.
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
    return RequestTimes(*(ns / 1000 / (CLIENTS * _STEPS) for ns in (cpu_ns, others_ns, ended_ns - begun_ns)))

"""What traces cost while they are off: servers that could trace, each beside one that is told nothing of traces.

Two servers that are started alike differ by a percent or two, by where their memory happens to lie. So there are many of them,
and each two count as one comparison. The traces are those for OpenTelemetry, since these may begin at the client: for them a
server would look into what comes with a request.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.excess import excess
from benchmarks.request_times import QUIET, take_request_times, warm_clients
from benchmarks.sides import start_charonia

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.excess import Excess
    from benchmarks.sides import Side
    from benchmarks.ways import Way

__all__ = ["OffCost", "measure_off"]

_WITHOUT, _WITH = "without", "with"
_OWN_FLAGS: Mapping[str, Sequence[str]] = {
    _WITHOUT: (),
    _WITH: ("--trace-config=opentelemetry,url=http://127.0.0.1:9/v1/traces",),  # nothing is ever sent there
}


@dataclass(frozen=True)
class OffCost:
    """What came of one way to send requests.

    Attributes:
        way: how requests are sent.
        servers: how many of each kind were compared.
        cpu_us: the CPU time of a request to a server that is told nothing of traces, in microseconds; the median.
        more_cpu: how much more a request takes of one whose traces are off.
    """

    way: str
    servers: int
    cpu_us: float
    more_cpu: Excess


def measure_off(
    folder: Path, ways: Sequence[Way], servers: int, pairs: int, tell: Callable[[str], None]
) -> list[OffCost]:
    """Start servers of both kinds two by two, and ask them in turns.

    Args:
        folder: where the models are written; not there yet.
        ways: how requests are sent.
        servers: how many of each kind are started, one after the other.
        pairs: how often two are compared each way.
        tell: called with a line of progress.

    Raises:
        LoadError: a request failed.
        ServerError: a server has ended.
    """
    found: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for number in range(servers if ways else 0):
        with ExitStack() as stack:
            sides = {}
            for kind in (_WITHOUT, _WITH) if number % 2 else (_WITH, _WITHOUT):
                sides[kind] = start_charonia(folder / str(number), kind, *QUIET, *_OWN_FLAGS[kind])
                stack.callback(sides[kind].process.stop)
            for way in ways:
                found[way.name].append(_compare(sides[_WITHOUT], sides[_WITH], way, pairs))
    costs = [_cost(way, compared) for way, compared in found.items()]
    for cost in costs:
        tell(f"traces off, {cost.way}: {cost.more_cpu} CPU")
    return costs


def _compare(plain: Side, other: Side, way: Way, pairs: int) -> tuple[float, float]:
    """Tell the CPU time of a request to a server, in microseconds, and how many times that another one takes."""
    with ExitStack() as stack:
        asked = []
        for side in (plain, other):
            clients = stack.enter_context(warm_clients(side, way))
            asked.append((clients, side.process.thread_times_reader()))
        found = []
        for number in range(pairs):
            times = {}
            for which in (0, 1) if number % 2 else (1, 0):
                times[which] = take_request_times(*asked[which]).cpu_us
            found.append((times[0], times[1]))
    typical = excess([more / less for less, more in found])
    return statistics.median(less for less, _ in found), 1 + typical.percent / 100


def _cost(way: str, compared: Sequence[tuple[float, float]]) -> OffCost:
    return OffCost(
        way,
        len(compared),
        statistics.median(cpu_us for cpu_us, _ in compared),
        excess([times for _, times in compared]),
    )

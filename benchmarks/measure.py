"""The measurement: every way, model, concurrency and side in turns, several rounds of it, and the medians."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from benchmarks.cpu_clock import CpuClock
from benchmarks.generators import OwnGenerator, sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.generators import LoadGenerator
    from benchmarks.latency import Load
    from benchmarks.sides import Side
    from benchmarks.ways import Way

__all__ = ["Figures", "Point", "Workload", "measure", "medians"]

_WARM_UP_SECONDS = 0.5


@dataclass(frozen=True, order=True)
class Point:
    """What is measured in one run: the way of the requests, a model, the clients, and the side that answers."""

    way: str
    model: str
    concurrency: int
    side: str


@dataclass(frozen=True)
class Figures:
    """What came of one run, or of the median of several.

    Attributes:
        requests_per_second: the concurrency divided by the mean latency.
        p50_us: the median latency, in microseconds.
        p99_us: the latency that one request in a hundred exceeds.
        cpu_us: the CPU time of all processes of the server for one request, in microseconds.
    """

    requests_per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float


@dataclass(frozen=True)
class Workload:
    """How much is measured.

    Attributes:
        ways: how requests are sent.
        models: the models' names.
        concurrencies: the numbers of clients.
        seconds: the length of each run.
        rounds: how often all of it is gone through.
    """

    ways: Sequence[Way]
    models: Sequence[str]
    concurrencies: Sequence[int]
    seconds: float
    rounds: int


def measure(
    sides: Sequence[Side], workload: Workload, generator: LoadGenerator, tell: Callable[[str], None]
) -> dict[Point, list[Figures]]:
    """Measure all points round by round, the sides of a point one right after the other, so that all share the machine's moods.

    Args:
        sides: the servers, all up; those that wait cost nothing.
        workload: how much.
        generator: what sends the requests. A short run of the benchmark's own one comes first: it warms the servers up.
        tell: called with a line of progress.

    Raises:
        LoadError: a request failed.
        ServerError: a server has ended.
    """
    runs = list(_all_runs(sides, workload, generator))
    for _, way, model, concurrency, side in runs:
        if not way.shared_memory:
            OwnGenerator().run(way, side.port(way), model, concurrency, min(_WARM_UP_SECONDS, workload.seconds))
    figures: dict[Point, list[Figures]] = defaultdict(list)
    for number in range(1, workload.rounds + 1):
        for sends, way, model, concurrency, side in runs:
            with CpuClock(side.process.cpu_reader()) as clock:
                load = sends.run(way, side.port(way), model, concurrency, workload.seconds)
            point = Point(way.name, model, concurrency, side.name)
            figures[point].append(_figures(load, concurrency, clock.seconds_between(load.begin_ns, load.end_ns)))
            tell(f"round {number} of {workload.rounds}: {_line(point, figures[point][-1])}")
    return dict(figures)


def _all_runs(
    sides: Sequence[Side], workload: Workload, generator: LoadGenerator
) -> Iterator[tuple[LoadGenerator, Way, str, int, Side]]:
    """Give the runs of a round that can be had, each with what sends its requests."""
    for way, model, concurrency, side in itertools.product(
        workload.ways, workload.models, workload.concurrencies, sides
    ):
        sends = sender(way, model, generator)
        if sends is not None and side.serves(way):
            yield sends, way, model, concurrency, side


def _figures(load: Load, concurrency: int, cpu_seconds: float) -> Figures:
    return Figures(concurrency / load.mean_us * 1e6, load.p50_us, load.p99_us, cpu_seconds / load.requests * 1e6)


def _line(point: Point, figures: Figures) -> str:
    return (
        f"{point.way} {point.model} x{point.concurrency} {point.side}: {figures.requests_per_second:.0f}/s, "
        f"p50 {figures.p50_us:.0f} us, CPU {figures.cpu_us:.0f} us"
    )


def medians(rounds: dict[Point, list[Figures]]) -> dict[Point, Figures]:
    """Take the median of each figure over the rounds."""
    names = [field.name for field in fields(Figures)]
    return {
        point: Figures(**{name: statistics.median(getattr(run, name) for run in runs) for name in names})
        for point, runs in rounds.items()
    }

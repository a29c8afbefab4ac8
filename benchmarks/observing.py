"""What traces and the access log cost: one server that is told to begin and to end with them while it is asked.

That one request in a hundred is traced costs less than two servers differ from each other, or one from what it was a second ago.
So a hundred requests with it are compared with the hundred right before or behind them without, some thousand times, and of
all such pairs the typical difference is told, and how certain that is. The requests come from clients in step, between whose
requests the server rests, so that each hundred has its own CPU time, to the microsecond.

What is traced or logged is written later, by other threads, up to five seconds later. Their CPU time is counted apart, from a
moment at which nothing is left to be written until another such moment. It is divided by all requests that were watched.

While they write, they hold up the thread that answers, and take its caches: now among the requests that are watched, and now
among the others. So that cost would cancel out. But pairs differ in how much was written within them, which is known.
How the difference of a pair goes with that is found by regression, and what is told of the thread that answers is the
difference at which all that a hundred watched requests leave to be written is written within them, and nothing within the others.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from benchmarks.excess import Excess, excess_at
from benchmarks.latency import LoadError
from benchmarks.request_times import QUIET, SENT, take_request_times, warm_clients
from benchmarks.sides import start_charonia
from benchmarks.span_collector import SpanCollector
from benchmarks.ways import HTTP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.request_times import RequestTimes
    from benchmarks.sides import Side
    from benchmarks.ways import Way

__all__ = ["ObservingCost", "measure_observing"]

_PART = 0.25
"""The part of the pairs with which is seen what costs much."""


@dataclass(frozen=True)
class _Watched:
    """A way to be watched.

    Attributes:
        what: its name.
        flags: what the server is started with.
        setting: the setting that is switched, by its path.
        off: the changes that switch it off.
        on: those that switch it on.
        part: the part of the pairs that it takes.
    """

    what: str
    flags: Sequence[str]
    setting: str
    off: Mapping[str, object]
    on: Mapping[str, object]
    part: float


def _traces(what: str, rate: int, *flags: str) -> _Watched:
    off, on = {"trace_level": ["OFF"]}, {"trace_level": ["TIMESTAMPS"], "trace_rate": str(rate)}
    return _Watched(what, flags, "/v2/trace/setting", off, on, 1 if rate > 1 else _PART)


def _file(what: str, rate: int) -> _Watched:
    return _traces(what, rate, f"--trace-config=file={os.devnull}")


def _spans(what: str, rate: int) -> _Watched:
    """Have spans sent as they are by default, but for the room where they wait, out of which none is to be lost."""
    flags = ("url={collector}", "bsp_max_queue_size=65536")
    return _traces(what, rate, *(f"--trace-config=opentelemetry,{flag}" for flag in flags))


_WATCHED: Sequence[_Watched] = (
    _Watched("access log", ["--log-access=true"], "/v2/logging", {"log_info": False}, {"log_info": True}, _PART),
    _file("traces of 1 in 100", 100),
    _file("traces of all", 1),
    _spans("spans of 1 in 100", 100),
    _spans("spans of all", 1),
)


@dataclass(frozen=True)
class ObservingCost:
    """What came of one way to be watched. What is more is told in percent of what a request takes without it.

    Attributes:
        what: what is switched on.
        way: how requests are sent.
        pairs: how often it was switched on and off.
        cpu_us: the CPU time of a request without it, on the thread that answers, in microseconds; the median.
        more_answering: how much more CPU time a request takes there with it.
        more_writing: how much CPU time it takes on other threads.
        more_cpu: both together.
        more_time: how much more time the same requests take until all have their answers.
    """

    what: str
    way: str
    pairs: int
    cpu_us: float
    more_answering: float
    more_writing: float
    more_cpu: Excess
    more_time: Excess


@dataclass(frozen=True)
class _Found:
    """What a measurement has found: requests without and with what is watched, in pairs; and what writing took in all.

    Attributes:
        pairs: what a request took without and with it.
        written_us: CPU time of the threads that write, for one request that was watched, in microseconds.
    """

    pairs: Sequence[tuple[RequestTimes, RequestTimes]]
    written_us: float


def measure_observing(
    folder: Path, ways: Sequence[Way], pairs: int, late_seconds: float, tell: Callable[[str], None]
) -> list[ObservingCost]:
    """Start a server for each way to be watched, and switch it while it is asked.

    Args:
        folder: where the models are written; not there yet.
        ways: how requests are sent.
        pairs: how often each is switched on and off, at most.
        late_seconds: how long it takes until all is written; with less, what writing costs is not all told.
        tell: called with a line of progress.

    Raises:
        LoadError: a request failed.
        ServerError: a server has ended.
    """
    costs = []
    with ExitStack() as stack:
        collector = SpanCollector()
        stack.callback(collector.stop)
        for watched in _WATCHED:
            with _serving(folder, watched, collector.url) as side:
                for way in ways:
                    found = _measure(side, watched, way, max(1, round(pairs * watched.part)), late_seconds)
                    costs.append(_cost(watched.what, way, found))
                    tell(_line(costs[-1]))
    return costs


@contextmanager
def _serving(folder: Path, watched: _Watched, collector: str) -> Iterator[Side]:
    flags = [flag.format(collector=collector) for flag in watched.flags]
    side = start_charonia(folder, watched.what, *QUIET, *flags)
    try:
        yield side
    finally:
        side.process.stop()


def _measure(side: Side, watched: _Watched, way: Way, pairs: int, late_seconds: float) -> _Found:
    """Measure without and with what is watched, each first by turns, from and to a moment when all is written."""
    spent = side.process.thread_times_reader()
    found = []
    with _switch(side, watched) as switch:
        switch(watched.off)
        with warm_clients(side, way) as clients:
            before = spent()
            for number in range(pairs):
                times = {}
                for on in (False, True) if number % 2 else (True, False):
                    switch(watched.on if on else watched.off)
                    times[on] = take_request_times(clients, spent)
                found.append((times[False], times[True]))
        switch(watched.off)
        threading.Event().wait(late_seconds)
        written_ns = spent().others_ns - before.others_ns
    return _Found(found, written_ns / 1000 / (pairs * SENT))


@contextmanager
def _switch(side: Side, watched: _Watched) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Give what makes changes to the setting, over a connection that the end of the block closes."""
    with closing(HTTPConnection("127.0.0.1", side.ports[HTTP])) as connection:

        def switch(changes: Mapping[str, object]) -> None:
            connection.request("POST", watched.setting, json.dumps(changes))
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != HTTPStatus.OK:
                raise LoadError(f"{watched.what} cannot be switched: {told.decode(errors='replace')}")

        yield switch


def _cost(what: str, way: Way, found: _Found) -> ObservingCost:
    pairs = found.pairs
    cpu_us = statistics.median(off.cpu_us for off, _ in pairs)
    writing = found.written_us / cpu_us
    within = [(on.others_us - off.others_us) / cpu_us for off, on in pairs]
    answering = excess_at([on.cpu_us / off.cpu_us for off, on in pairs], within, writing)
    written = 100 * writing
    return ObservingCost(
        what,
        way.name,
        len(pairs),
        cpu_us,
        more_answering=answering.percent,
        more_writing=written,
        more_cpu=Excess(answering.percent + written, answering.low + written, answering.high + written),
        more_time=excess_at([on.time_us / off.time_us for off, on in pairs], within, writing),
    )


def _line(cost: ObservingCost) -> str:
    return (
        f"{cost.what}, {cost.way}: CPU {cost.cpu_us:.1f} us; with it {cost.more_answering:+.2f} % and in other threads "
        f"{cost.more_writing:+.2f} %, together {cost.more_cpu}; {cost.more_time} time"
    )

"""What traces and the access log cost: one server that is asked without a pause, and told to begin and to end with them.

That one request in a hundred is traced costs less than two servers differ from each other, or one from what it was a minute ago.
So each short time with it is compared with the one right before or behind it without. Of all such pairs the typical difference
is told, and how certain that is.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.excess import excess
from benchmarks.latency import LoadError
from benchmarks.sides import start_charonia
from benchmarks.span_collector import SpanCollector
from benchmarks.ways import HTTP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.excess import Excess
    from benchmarks.generators import LastingGenerator
    from benchmarks.sides import Side
    from benchmarks.ways import Way

__all__ = ["ObservingCost", "measure_observing"]

_MODEL = "identity"
_CLIENTS = 16
_WARM_UP_SECONDS = 0.5
_PATIENCE_SECONDS = 30.0
_TRY_SECONDS = 0.05


@dataclass(frozen=True)
class _Watched:
    """A way to be watched.

    Attributes:
        what: its name.
        flags: what the server is started with.
        setting: the setting that is switched, by its path.
        off: the changes that switch it off.
        on: those that switch it on.
        late_seconds: for how long after a request something of it may still be written down.
    """

    what: str
    flags: Sequence[str]
    setting: str
    off: Mapping[str, object]
    on: Mapping[str, object]
    late_seconds: float


def _traces(what: str, rate: int, *flags: str, late_seconds: float) -> _Watched:
    off, on = {"trace_level": ["OFF"]}, {"trace_level": ["TIMESTAMPS"], "trace_rate": str(rate)}
    return _Watched(what, flags, "v2/trace/setting", off, on, late_seconds)


def _file(what: str, rate: int) -> _Watched:
    return _traces(what, rate, f"--trace-config=file={os.devnull}", late_seconds=0.6)


def _spans(what: str, rate: int) -> _Watched:
    flags = ("url={collector}", "bsp_schedule_delay=500", "bsp_max_queue_size=65536")
    return _traces(what, rate, *(f"--trace-config=opentelemetry,{flag}" for flag in flags), late_seconds=0.6)


_WATCHED: Sequence[_Watched] = (
    _Watched("access log", ["--log-access=true"], "v2/logging", {"log_info": False}, {"log_info": True}, 0.2),
    _file("traces of 1 in 100", 100),
    _file("traces of all", 1),
    _spans("spans of 1 in 100", 100),
    _spans("spans of all", 1),
)


@dataclass(frozen=True)
class ObservingCost:
    """What came of one way to be watched.

    Attributes:
        what: what is switched on.
        way: how requests are sent.
        pairs: how often it was switched on and off.
        requests_per_second: the median without it.
        cpu_us: the median of the CPU time of a request without it, in microseconds.
        more_cpu: how much more of it a request takes with it.
        more_time: how much more time the same number of requests takes with it.
    """

    what: str
    way: str
    pairs: int
    requests_per_second: float
    cpu_us: float
    more_cpu: Excess
    more_time: Excess


@dataclass(frozen=True)
class _Slice:
    """A time without a switch: how long a request took, of all clients together, and its CPU time; both in microseconds."""

    time_us: float
    cpu_us: float


def measure_observing(
    folder: Path,
    ways: Sequence[Way],
    generator: LastingGenerator,
    pairs: int,
    seconds: float,
    tell: Callable[[str], None],
) -> list[ObservingCost]:
    """Start a server for each way to be watched, and switch it while it is asked.

    Args:
        folder: where the models are written; not there yet.
        ways: how requests are sent.
        generator: what sends them.
        pairs: how often each is switched on and off.
        seconds: the length of what counts between two switches.
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
                    costs.append(_cost(watched.what, way, _measure(side, watched, way, generator, pairs, seconds)))
                    tell(_line(costs[-1]))
    return costs


@contextmanager
def _serving(folder: Path, watched: _Watched, collector: str) -> Iterator[Side]:
    flags = [flag.format(collector=collector) for flag in watched.flags]
    side = start_charonia(folder, watched.what, "--allow-metrics=false", f"--log-file={os.devnull}", *flags)
    try:
        yield side
    finally:
        side.process.stop()


def _measure(
    side: Side, watched: _Watched, way: Way, generator: LastingGenerator, pairs: int, seconds: float
) -> list[tuple[_Slice, _Slice]]:
    """Give the slices without and with what is watched, in pairs. The one comes first by turns."""
    length = watched.late_seconds + seconds
    with generator.loading(way, side.port(way), _MODEL, _CLIENTS):
        _await_more(side, _answered(side))
        begin = time.monotonic() + _WARM_UP_SECONDS
        found = []
        for number in range(pairs):
            first = bool(number % 2)
            one = _slice(side, watched, begin + 2 * number * length, seconds, on=first)
            other = _slice(side, watched, begin + (2 * number + 1) * length, seconds, on=not first)
            found.append((other, one) if first else (one, other))
    return found


def _await_more(side: Side, before: int) -> int:
    """Wait until more requests have been answered, and tell how many."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while (answered := _answered(side)) == before:
        if time.monotonic() > give_up:
            raise LoadError(f"no request came within {_PATIENCE_SECONDS:g} s")
        _wait_until(time.monotonic() + _TRY_SECONDS)
    return answered


def _wait_until(moment: float) -> None:
    threading.Event().wait(max(0, moment - time.monotonic()))


def _slice(side: Side, watched: _Watched, begin: float, seconds: float, *, on: bool) -> _Slice:
    """Switch at a time, wait until nothing is written down any more that came before, and measure."""
    _wait_until(begin)
    _ask(side, watched.setting, watched.on if on else watched.off)
    _wait_until(begin + watched.late_seconds)
    cpu_seconds = side.process.cpu_reader()
    before, cpu_before, begun = _answered(side), cpu_seconds(), time.monotonic()
    _wait_until(begin + watched.late_seconds + seconds)
    requests = _await_more(side, before) - before
    cpu, spent = cpu_seconds() - cpu_before, time.monotonic() - begun
    return _Slice(spent / requests * 1e6, cpu / requests * 1e6)


def _answered(side: Side) -> int:
    (model,) = _ask(side, f"v2/models/{_MODEL}/stats")["model_stats"]
    return int(model["inference_stats"]["success"]["count"])


def _ask(side: Side, path: str, changes: Mapping[str, object] | None = None) -> dict[str, Any]:
    body = None if changes is None else json.dumps(changes).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{side.ports[HTTP]}/{path}", body) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def _cost(what: str, way: Way, found: Sequence[tuple[_Slice, _Slice]]) -> ObservingCost:
    return ObservingCost(
        what,
        way.name,
        len(found),
        requests_per_second=1e6 / statistics.median(off.time_us for off, _ in found),
        cpu_us=statistics.median(off.cpu_us for off, _ in found),
        more_cpu=excess([on.cpu_us / off.cpu_us for off, on in found]),
        more_time=excess([on.time_us / off.time_us for off, on in found]),
    )


def _line(cost: ObservingCost) -> str:
    return (
        f"{cost.what}, {cost.way}: {cost.requests_per_second:.0f}/s, CPU {cost.cpu_us:.1f} us; with it "
        f"{_told(cost.more_cpu)} CPU, {_told(cost.more_time)} time"
    )


def _told(more: Excess) -> str:
    return f"{more.percent:+.2f} % ({more.low:+.2f} to {more.high:+.2f})"

"""What it costs to be watched, over HTTP: metrics, the access log and traces, each on and off, on servers that take turns.

Where there are metrics they are read once a second, which is more often than Prometheus is usually told to. Spans go to a
collector in a process of its own.
"""

from __future__ import annotations

import os
import statistics
import threading
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.generators import OwnGenerator
from benchmarks.measure import Workload, measure
from benchmarks.process import free_port
from benchmarks.sides import start_charonia
from benchmarks.span_collector import SpanCollector
from benchmarks.ways import HTTP, WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.measure import Figures

__all__ = ["WatchedServer", "measure_observing_http"]

_MODEL = "identity"
_CLIENTS = 16
_SCRAPE_SECONDS = 1.0
_NOTHING = "nothing"
_UNTOLD = "--allow-metrics=false"
_FILE = ("--trace-config=level=TIMESTAMPS", f"--trace-config=file={os.devnull}")
_SPANS = (
    "--trace-config=level=TIMESTAMPS",
    "--trace-config=opentelemetry,url={collector}",
    "--trace-config=opentelemetry,bsp_max_queue_size=65536",
)
_WATCHED: Mapping[str, Sequence[str]] = {
    _NOTHING: (_UNTOLD,),
    "metrics": (),
    "access log": (_UNTOLD, "--log-access=true"),
    "metrics, access log": ("--log-access=true",),
    "traces of 1 in 100": (_UNTOLD, *_FILE, "--trace-config=rate=100"),
    "traces of all": (_UNTOLD, *_FILE, "--trace-config=rate=1"),
    "spans of 1 in 100": (_UNTOLD, *_SPANS, "--trace-config=rate=100"),
    "spans of all": (_UNTOLD, *_SPANS, "--trace-config=rate=1"),
}
"""What is switched on, by the flags that do so."""


@dataclass(frozen=True)
class WatchedServer:
    """The medians over the rounds.

    Attributes:
        what: what is switched on.
        requests_per_second: see `Figures`.
        cpu_us: see `Figures`.
        over_us: how much more CPU time a request takes than in the same round without any of it, in microseconds.
    """

    what: str
    requests_per_second: float
    cpu_us: float
    over_us: float


def measure_observing_http(
    folder: Path, seconds: float, rounds: int, tell: Callable[[str], None]
) -> list[WatchedServer]:
    """Start a server for each way to be watched, and load them in turns.

    Args:
        folder: where the models are written; not there yet.
        seconds: the length of each run.
        rounds: how often the servers take turns.
        tell: called with a line of progress.

    Raises:
        LoadError: a request failed.
        ServerError: a server has ended.
    """
    with ExitStack() as stack:
        collector = SpanCollector()
        stack.callback(collector.stop)
        sides, ports = [], []
        for what, flags in _WATCHED.items():
            port = free_port()
            place = (f"--metrics-port={port}", f"--log-file={os.devnull}")
            sides.append(
                start_charonia(folder, what, *place, *(flag.format(collector=collector.url) for flag in flags))
            )
            stack.callback(sides[-1].process.stop)
            ports += [] if _UNTOLD in flags else [port]
        stack.enter_context(_scraping(ports))
        workload = Workload([WAYS[HTTP]], [_MODEL], [_CLIENTS], seconds, rounds)
        found = {point.side: runs for point, runs in measure(sides, workload, OwnGenerator(), tell).items()}
    return [_watched(what, runs, found[_NOTHING]) for what, runs in found.items()]


@contextmanager
def _scraping(ports: Sequence[int]) -> Iterator[None]:
    """Read pages of metrics again and again while the block lasts, as Prometheus does."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(_SCRAPE_SECONDS):
            for port in ports:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    answer.read()

    scraper = threading.Thread(target=scrape, name="scraper", daemon=True)
    scraper.start()
    try:
        yield
    finally:
        ended.set()
        scraper.join()


def _watched(what: str, runs: Sequence[Figures], unwatched: Sequence[Figures]) -> WatchedServer:
    return WatchedServer(
        what,
        requests_per_second=statistics.median(run.requests_per_second for run in runs),
        cpu_us=statistics.median(run.cpu_us for run in runs),
        over_us=statistics.median(on.cpu_us - off.cpu_us for on, off in zip(runs, unwatched, strict=True)),
    )

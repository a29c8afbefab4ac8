"""What metrics cost: the page of many models; and requests over HTTP to a server with metrics, in turns with one without.

The page of that server is read once a second, which is more often than Prometheus is usually told to.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.generators import OwnGenerator
from benchmarks.measure import Workload, measure
from benchmarks.process import free_port
from benchmarks.sides import start_charonia
from benchmarks.ways import HTTP, WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["PageCost", "ScrapingCost", "measure_page", "measure_scraping"]

_MODEL = "identity"
_CLIENTS = 16
_SCRAPE_SECONDS = 1.0
_SCRAPED_MODELS = 200
_READ, _UNREAD = "metrics", "no metrics"


@dataclass(frozen=True)
class PageCost:
    """What a page of metrics costs whoever makes it; nothing on the path of a request is added by metrics.

    Attributes:
        models: how many models stand on it.
        lines: how many lines it has.
        ms: the median over the rounds, in milliseconds.
    """

    models: int
    lines: int
    ms: float


@dataclass(frozen=True)
class ScrapingCost:
    """The medians over the rounds.

    Attributes:
        off_us: the CPU time of a request to a server without metrics, in microseconds.
        on_us: the same with them, reading them included.
        over_us: the difference of the two within a round.
    """

    off_us: float
    on_us: float
    over_us: float


def measure_page(folder: Path, rounds: int) -> PageCost:
    """Make the page of metrics of many models.

    Args:
        folder: where the models are written; not there yet.
        rounds: how often the page is made.
    """
    from charonia import Server
    from charonia.plugins import Plugins
    from charonia.testing.builders import model_config, write_model
    from charonia.testing.fakes import ArithmeticPlugin
    from charonia_metrics_prometheus.collector import ServerCollector
    from charonia_metrics_prometheus.exposition import exposition
    from charonia_metrics_prometheus.settings import MetricsSettings

    folder.mkdir()
    for number in range(_SCRAPED_MODELS):
        write_model(folder, model_config(f"model-{number}"))
    with Server(folder, plugins=Plugins(extra=[ArithmeticPlugin()])) as server:
        for number in range(_SCRAPED_MODELS):
            server.model(f"model-{number}").infer({"INPUT0": np.zeros((1, 16), np.float32)})
        collector = ServerCollector(server, MetricsSettings())
        page = exposition(collector.collect())
        spent = []
        for _ in range(rounds):
            start_ns = time.perf_counter_ns()
            page = exposition(collector.collect())
            spent.append((time.perf_counter_ns() - start_ns) / 1_000_000)
    return PageCost(_SCRAPED_MODELS, page.count(b"\n"), statistics.median(spent))


def measure_scraping(folder: Path, seconds: float, rounds: int, tell: Callable[[str], None]) -> ScrapingCost:
    """Start a server with metrics and one without, and load them in turns.

    Args:
        folder: where the models are written; not there yet.
        seconds: the length of each run.
        rounds: how often the servers take turns.
        tell: called with a line of progress.

    Raises:
        LoadError: a request failed.
        ServerError: a server has ended.
    """
    port = free_port()
    with ExitStack() as stack:
        sides = []
        for name, flag in ((_UNREAD, "--allow-metrics=false"), (_READ, f"--metrics-port={port}")):
            sides.append(start_charonia(folder, name, flag, f"--log-file={os.devnull}"))
            stack.callback(sides[-1].process.stop)
        stack.enter_context(_scraping(port))
        workload = Workload([WAYS[HTTP]], [_MODEL], [_CLIENTS], seconds, rounds)
        found = {point.side: runs for point, runs in measure(sides, workload, OwnGenerator(), tell).items()}
    return ScrapingCost(
        off_us=statistics.median(run.cpu_us for run in found[_UNREAD]),
        on_us=statistics.median(run.cpu_us for run in found[_READ]),
        over_us=statistics.median(on.cpu_us - off.cpu_us for on, off in zip(found[_READ], found[_UNREAD], strict=True)),
    )


@contextmanager
def _scraping(port: int) -> Iterator[None]:
    """Read a page of metrics again and again while the block lasts, as Prometheus does."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(_SCRAPE_SECONDS):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                answer.read()

    scraper = threading.Thread(target=scrape, name="scraper", daemon=True)
    scraper.start()
    try:
        yield
    finally:
        ended.set()
        scraper.join()

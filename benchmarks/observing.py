"""What it costs to be watched, in process: traces and the access log, on beside off, and a scrape of many models' metrics."""

from __future__ import annotations

import logging
import os
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.in_process import time_calls
from benchmarks.models import INPUT, MODELS, write_onnx_repository

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia import Server

__all__ = ["ObservingCost", "ScrapeCost", "measure_observing", "measure_scrape"]

_MODEL = "identity"
_WARM_UP_CALLS = 200
_SCRAPED_MODELS = 200


@dataclass(frozen=True)
class ObservingCost:
    """The medians over the rounds, in microseconds a call.

    Attributes:
        what: what is switched on.
        off_us: a call while nothing is.
        on_us: the same call with it.
        over_us: the difference of the two within a round.
    """

    what: str
    off_us: float
    on_us: float
    over_us: float


@dataclass(frozen=True)
class ScrapeCost:
    """What a page of metrics costs whoever makes it; nothing on the path of a request is added by metrics.

    Attributes:
        models: how many models stand on it.
        lines: how many lines it has.
        ms: the median over the rounds, in milliseconds.
    """

    models: int
    lines: int
    ms: float


def measure_observing(folder: Path, rounds: int, calls: int) -> list[ObservingCost]:
    """Serve one model several times, watched in other ways, and call it in turns.

    Args:
        folder: where the model and the traces are written; not there yet.
        rounds: how often the calls take turns.
        calls: the calls of a turn.
    """
    from charonia import Server, ServerOptions
    from charonia.trace_settings import TraceSetting

    write_onnx_repository(folder)

    def traced(rate: int) -> ServerOptions:
        return ServerOptions(trace=TraceSetting(("TIMESTAMPS",), rate=rate, file=str(folder / f"trace-{rate}.json")))

    watched = {
        "traces of 1 in 100": traced(100),
        "traces of all": traced(1),
        "access log": ServerOptions(log_access=True),
    }
    with ExitStack() as opened:
        _log_into_nothing(opened)
        off = _call(opened.enter_context(Server(folder)))
        calls_on = {what: _call(opened.enter_context(Server(folder, options=it))) for what, it in watched.items()}
        for call in (off, *calls_on.values()):
            time_calls(call, _WARM_UP_CALLS)
        turns = [
            (time_calls(off, calls), {what: time_calls(on, calls) for what, on in calls_on.items()})
            for _ in range(rounds)
        ]
    return [
        ObservingCost(
            what,
            off_us=statistics.median(off_us for off_us, _ in turns),
            on_us=statistics.median(on_us[what] for _, on_us in turns),
            over_us=statistics.median(on_us[what] - off_us for off_us, on_us in turns),
        )
        for what in watched
    ]


def _call(server: Server) -> Callable[[], None]:
    infer = server.model(_MODEL).infer
    inputs = {INPUT: np.linspace(-1, 1, MODELS[_MODEL].inputs, dtype=np.float32).reshape(1, -1)}

    def call() -> None:
        infer(inputs)

    return call


def _log_into_nothing(opened: ExitStack) -> None:
    """Write the log of requests, and have the operating system drop it."""
    logger = logging.getLogger("charonia.access")
    nothing = opened.enter_context(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - the stack closes it
    handler = logging.StreamHandler(nothing)
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)

    def undo() -> None:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before

    opened.callback(undo)


def measure_scrape(folder: Path, rounds: int) -> ScrapeCost:
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
    return ScrapeCost(_SCRAPED_MODELS, page.count(b"\n"), statistics.median(spent))

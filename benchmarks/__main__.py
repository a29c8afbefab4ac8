"""Run the whole benchmark: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.batching import measure_batching
from benchmarks.decision import QUEUED, measure_decisions
from benchmarks.ensemble import measure_ensemble
from benchmarks.generators import H2Load, OwnGenerator, PerfAnalyzer
from benchmarks.in_process import measure_in_process
from benchmarks.latency import LoadError
from benchmarks.measure import Workload, measure
from benchmarks.models import MODELS, write_onnx_repository
from benchmarks.observing import measure_observing
from benchmarks.picture import draw
from benchmarks.process import ServerError
from benchmarks.report import Report, document, tables
from benchmarks.repositories import measure_loads, measure_starts
from benchmarks.scraping import measure_page, measure_scraping
from benchmarks.sides import SIDES
from benchmarks.switched_off import measure_off
from benchmarks.tools.download import UnavailableError
from benchmarks.tools.perf_analyzer import install_perf_analyzer
from benchmarks.turns import measure_turns
from benchmarks.ways import GRPC, HTTP, WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.generators import LoadGenerator
    from benchmarks.sides import Side
    from benchmarks.ways import Way

RESULTS = Path(__file__).parent / "results"
CALLS = 2_000
ROUNDS_IN_PROCESS = 15
ROUNDS_OF_STARTS = 3
LOADS = 50
TURNS = 200
PAIRS = 3_000
LATE_SECONDS = 6.0
SERVERS = 20
SERVER_PAIRS = 60
QUICK_CALLS = 100
QUICK_ROUNDS = 3
QUICK_PAIRS = 4
QUICK_LATE_SECONDS = 0.0


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Charonia beside the reference and a bare handler."
    )
    parser.add_argument(
        "--sides", type=_names(SIDES), default=list(SIDES), help="comma-separated, of: " + ", ".join(SIDES)
    )
    parser.add_argument("--ways", type=_names(WAYS), default=list(WAYS), help="comma-separated, of: " + ", ".join(WAYS))
    parser.add_argument(
        "--models", type=_names(MODELS), default=list(MODELS), help="comma-separated, of: " + ", ".join(MODELS)
    )
    parser.add_argument(
        "--concurrency", type=_numbers, default=[1, 16, 64], help="clients at once, comma-separated (1,16,64)"
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="length of each run (1.5)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured; medians count (3)")
    parser.add_argument(
        "--load", choices=("auto", "perf_analyzer", "own"), default="auto", help="the load generator (auto)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON and the picture")
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds, to see that it works; the figures mean little"
    )
    options = parser.parse_args(words)
    if options.quick:
        options.seconds, options.rounds, options.load = 0.2, 1, "own"
    return options


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def _numbers(text: str) -> list[int]:
    numbers = [int(word) for word in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("at least one client is needed")
    return numbers


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _generator(choice: str, left_out: dict[str, str]) -> LoadGenerator:
    """Take perf_analyzer unless it cannot be had; where it was asked for by name, that is an error."""
    if choice != "own":
        try:
            return PerfAnalyzer(install_perf_analyzer())
        except UnavailableError as error:
            if choice == "perf_analyzer":
                sys.exit(str(error))
            left_out[PerfAnalyzer.name] = str(error)
            _say(f"perf_analyzer is left out: {error}")
    return OwnGenerator()


def _start(names: Sequence[str], folder: Path, stack: ExitStack, left_out: dict[str, str]) -> list[Side]:
    sides = []
    for name in names:
        _say(f"starting {name}")
        try:
            side = SIDES[name](folder)
        except UnavailableError as error:
            left_out[name] = str(error)
            _say(f"{name} is left out: {error}")
        else:
            stack.callback(side.process.stop)
            sides.append(side)
    return sides


def _possible(
    ways: Sequence[Way], generator: LoadGenerator, sides: Sequence[Side], left_out: dict[str, str]
) -> list[Way]:
    """Keep the ways that the generator and at least one side know; and tell of each side that does not know one."""
    possible = [way for way in ways if (H2Load() if way.h2load else generator).can(way)]
    for way in ways:
        if way not in possible:
            left_out[way.name] = (
                "h2load is not installed; the package nghttp2-client has it"
                if way.h2load
                else f"the load generator {generator.name!r} does not know it; perf_analyzer does"
            )
            continue
        for side in sides:
            if not side.serves(way):
                left_out[f"{way.name} of {side.name}"] = "it does not offer system_shared_memory"
    return possible


def _run(options: argparse.Namespace) -> Report:
    left_out: dict[str, str] = {}
    generator = _generator(options.load, left_out)
    ways = [WAYS[name] for name in options.ways]
    with tempfile.TemporaryDirectory(prefix="charonia-bench-") as temporary:
        folder = Path(temporary)
        with ExitStack() as stack:
            sides = _start(options.sides, folder, stack, left_out)
            workload = Workload(
                _possible(ways, generator, sides, left_out),
                options.models,
                options.concurrency,
                options.seconds,
                options.rounds,
            )
            rounds = measure(sides, workload, generator, _say)
        _say("measuring in process")
        repository = write_onnx_repository(folder / "in_process")
        turns = (QUICK_ROUNDS, QUICK_CALLS) if options.quick else (ROUNDS_IN_PROCESS, CALLS)
        costs = measure_in_process(repository, options.models, *turns)
        ensemble = measure_ensemble(folder / "ensemble", *turns)
        batching = measure_batching(folder / "batching", options.concurrency, *turns)
        decisions = measure_decisions(turns[0], QUICK_CALLS if options.quick else QUEUED)
        generation = measure_turns(folder / "turns", options.concurrency, turns[0], TURNS)
        plain = [way for way in ways if way in (WAYS[HTTP], WAYS[GRPC])]
        pairs = (QUICK_PAIRS, QUICK_LATE_SECONDS) if options.quick else (PAIRS, LATE_SECONDS)
        observing = measure_observing(folder / "observing", plain, *pairs, _say)
        servers = (1, QUICK_PAIRS) if options.quick else (SERVERS, SERVER_PAIRS)
        off = measure_off(folder / "off", plain, *servers, _say)
        page = measure_page(folder / "page", turns[0])
        scraping = measure_scraping(folder / "scraping", options.seconds, options.rounds, _say)
        _say("measuring repositories")
        counts, starts_rounds, loads = ((1, 2), 1, 4) if options.quick else ((1, 10, 100), ROUNDS_OF_STARTS, LOADS)
        starts = measure_starts(folder / "starts", counts, starts_rounds, left_out)
        load_gaps = measure_loads(folder / "loads", loads)
    return Report(
        workload,
        generator.name,
        rounds,
        costs,
        left_out,
        ensemble,
        batching,
        decisions,
        observing,
        page,
        scraping,
        starts=starts,
        load_gaps=load_gaps,
        generation=generation,
        off=off,
    )


def main(words: Sequence[str]) -> None:
    """Measure, print the tables, and write the results."""
    options = _options(words)
    try:
        report = _run(options)
    except (LoadError, ServerError) as error:
        sys.exit(f"the benchmark ended early: {error}")
    options.results.mkdir(parents=True, exist_ok=True)
    stem = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d-%H%M%S")
    record = options.results / f"{stem}.json"
    record.write_text(json.dumps(document(report), indent=1) + "\n")
    if report.rounds:
        draw(report, record.with_suffix(".svg"))
    print(tables(report))
    print(f"\n{record}")


if __name__ == "__main__":
    main(sys.argv[1:])

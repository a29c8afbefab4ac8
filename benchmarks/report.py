"""The results: as a document, as tables for a person, and as ratios."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Figures, Point, medians
from benchmarks.sides import BARE, CHARONIA, REFERENCE

if TYPE_CHECKING:
    from benchmarks.batching import BatchingGain
    from benchmarks.decision import DecisionCost
    from benchmarks.ensemble import EnsembleCost
    from benchmarks.excess import Excess
    from benchmarks.in_process import CallCost
    from benchmarks.measure import Workload
    from benchmarks.observing import ObservingCost
    from benchmarks.repositories import LoadGap, StartTime
    from benchmarks.scraping import PageCost, ScrapingCost
    from benchmarks.switched_off import OffCost
    from benchmarks.turns import TurnCost

__all__ = ["Report", "cpu_over_bare_us", "document", "ratio", "tables"]

_PACKAGES = ("charonia", "aiohttp", "grpcio", "uvloop", "onnxruntime", "numpy")


@dataclass
class Report:
    """All that a run of the benchmark found out.

    Attributes:
        workload: what was measured.
        generator: the name of the load generator.
        rounds: the figures of each point, round by round.
        in_process: the cost of the direct path, a model each.
        left_out: what could not be had, and why.
        ensemble: the cost of an ensemble of two steps, if it was measured.
        batching: what dynamic batching gains, for each model and number of clients.
        decisions: what a decision of the dynamic batcher costs, for each kind of configuration.
        observing: what traces and the access log cost.
        off: what traces cost that are off.
        page: what a page of metrics costs, if it was measured.
        scraping: what a server costs more that has metrics, which are read, if it was measured.
        starts: how long models take to be ready.
        load_gaps: what clients notice of loads.
        generation: what a turn of requests costs that are written step by step.
    """

    workload: Workload
    generator: str
    rounds: dict[Point, list[Figures]]
    in_process: list[CallCost]
    left_out: dict[str, str] = field(default_factory=dict)
    ensemble: EnsembleCost | None = None
    batching: list[BatchingGain] = field(default_factory=list)
    decisions: list[DecisionCost] = field(default_factory=list)
    observing: list[ObservingCost] = field(default_factory=list)
    page: PageCost | None = None
    scraping: ScrapingCost | None = None
    starts: list[StartTime] = field(default_factory=list)
    load_gaps: list[LoadGap] = field(default_factory=list)
    generation: list[TurnCost] = field(default_factory=list)
    off: list[OffCost] = field(default_factory=list)


def ratio(figures: dict[Point, Figures], point: Point, side: str) -> float | None:
    """Divide the requests a second at a point by those of another side. None where that one was left out."""
    other = figures.get(replace(point, side=side))
    return None if other is None else figures[point].requests_per_second / other.requests_per_second


def cpu_over_bare_us(rounds: dict[Point, list[Figures]], point: Point) -> float | None:
    """Tell the CPU µs of a request that a side takes beyond what the bare handler takes; the median of the rounds' differences.

    None where the bare handler was left out, or does not know the way.
    """
    bare = rounds.get(replace(point, side=BARE))
    if bare is None:
        return None
    return statistics.median(ours.cpu_us - floor.cpu_us for ours, floor in zip(rounds[point], bare, strict=True))


def document(report: Report) -> dict[str, object]:
    """Give everything as JSON: the rounds, their medians, the ratios, and the machine."""
    figures = medians(report.rounds)
    return {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES if _installed(name)},
        "workload": asdict(report.workload),
        "generator": report.generator,
        "left_out": report.left_out,
        "served": [
            asdict(point) | asdict(figures[point]) | {"rounds": [asdict(run) for run in runs]}
            for point, runs in report.rounds.items()
        ],
        "ratios": [
            asdict(point)
            | {
                "to_reference": ratio(figures, point, REFERENCE),
                "to_bare": ratio(figures, point, BARE),
                "cpu_over_bare_us": cpu_over_bare_us(report.rounds, point),
            }
            for point in figures
            if point.side == CHARONIA
        ],
        "in_process": [asdict(cost) for cost in report.in_process],
        "ensemble": None if report.ensemble is None else asdict(report.ensemble),
        "batching": [asdict(gain) for gain in report.batching],
        "decisions": [asdict(cost) for cost in report.decisions],
        "observing": [asdict(cost) for cost in report.observing],
        "off": [asdict(cost) for cost in report.off],
        "page": None if report.page is None else asdict(report.page),
        "scraping": None if report.scraping is None else asdict(report.scraping),
        "starts": [asdict(start) for start in report.starts],
        "load_gaps": [asdict(gap) for gap in report.load_gaps],
        "generation": [asdict(cost) for cost in report.generation],
    }


def _installed(name: str) -> bool:
    return any(importlib.metadata.distributions(name=name))


def _machine() -> dict[str, object]:
    processor = platform.processor() or platform.machine()
    details = Path("/proc/cpuinfo")
    if details.exists():
        names = [line.partition(":")[2].strip() for line in details.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_version()}, compiled by {platform.python_compiler()}",
    }


def tables(report: Report) -> str:
    """Write the medians as Markdown, which is read on a terminal as well as in the documentation."""
    figures = medians(report.rounds)
    sections = [_served_table(report.rounds, figures), _in_process_table(report.in_process)]
    sections += [] if report.ensemble is None else [_ensemble_table(report.ensemble)]
    sections += [
        _batching_table(report.batching),
        _decision_table(report.decisions),
        _generation_table(report.generation),
        _observing_table(report.observing),
        _off_table(report.off),
        _starts_table(report.starts),
        _load_gaps_table(report.load_gaps),
    ]
    if report.scraping is not None:
        cost = report.scraping
        sections.append(
            f"Metrics that are read once a second: {cost.on_us:.1f} µs of CPU a request, without them {cost.off_us:.1f} µs, "
            f"the difference within a round is {cost.over_us:+.1f} µs."
        )
    if report.page is not None:
        page = report.page
        sections.append(f"A page of metrics of {page.models} models, {page.lines:,} lines, takes {page.ms:.0f} ms.")
    sections += [f"{name} was left out: {reason}" for name, reason in report.left_out.items()]
    if any(point.side == REFERENCE for point in figures):
        sections.append(
            "The reference runs the models in its Python backend with numpy: its build has no ONNX Runtime."
        )
    return "\n\n".join(section for section in sections if section)


def _served_table(rounds: dict[Point, list[Figures]], figures: dict[Point, Figures]) -> str:
    rows = [
        [
            point.way,
            point.model,
            str(point.concurrency),
            point.side,
            f"{found.requests_per_second:,.0f}",
            f"{found.p50_us:,.0f}",
            f"{found.p99_us:,.0f}",
            f"{found.cpu_us:.0f}",
            _number(cpu_over_bare_us(rounds, point), ".0f"),
            _number(ratio(figures, point, REFERENCE), ".2f"),
            _number(ratio(figures, point, BARE), ".2f"),
        ]
        for point, found in figures.items()
    ]
    head = ["way", "model", "concurrency", "side", "requests/s", "p50 µs", "p99 µs", "CPU µs/request", "over bare"]
    return _table([*head, "x reference", "x bare"], rows, left=(0, 1, 3))


def _in_process_table(costs: list[CallCost]) -> str:
    rows = [[cost.model, f"{cost.bare_us:.1f}", f"{cost.infer_us:.1f}", f"{cost.over_us:.1f}"] for cost in costs]
    return _table(["in process", "bare call µs", "infer µs", "over it µs"], rows, left=(0,))


def _observing_table(costs: list[ObservingCost]) -> str:
    rows = [
        [
            cost.what,
            cost.way,
            f"{cost.cpu_us:.1f}",
            f"{cost.more_answering:.2f}",
            f"{cost.more_writing:.2f}",
            _excess(cost.more_cpu),
            _excess(cost.more_time),
        ]
        for cost in costs
    ]
    more = ["more answering, %", "writing, %", "together, %", "more time, %"]
    return _table(["watched by", "way", "CPU µs/request without", *more], rows, left=(0, 1))


def _off_table(costs: list[OffCost]) -> str:
    rows = [[cost.way, str(cost.servers), f"{cost.cpu_us:.1f}", _excess(cost.more_cpu)] for cost in costs]
    head = ["traces that are off", "servers of each kind", "CPU µs/request without", "more CPU, %"]
    return _table(head, rows, left=(0,))


def _excess(more: Excess) -> str:
    return f"{more.percent:.2f} ({more.low:.2f} to {more.high:.2f})"


def _starts_table(starts: list[StartTime]) -> str:
    counts = sorted({start.models for start in starts})
    seconds = {(start.place, start.models): f"{start.seconds:.2f}" for start in starts}
    rows = [
        [place, *(seconds.get((place, count), "") for count in counts)]
        for place in dict.fromkeys(start.place for start in starts)
    ]
    return _table(["small models until ready, s", *map(str, counts)], rows, left=(0,))


def _load_gaps_table(gaps: list[LoadGap]) -> str:
    rows = [
        [gap.what, str(gap.loads), f"{gap.requests:,}", str(gap.lost), f"{gap.gap_ms:.1f}", f"{gap.quiet_ms:.1f}"]
        for gap in gaps
    ]
    head = ["loads under four clients", "loads", "answered", "lost", "longest gap ms", "without loads ms"]
    return _table(head, rows, left=(0,))


def _ensemble_table(cost: EnsembleCost) -> str:
    figures = [cost.one_us, cost.both_us, cost.ensemble_us, cost.over_one_us, cost.over_both_us]
    head = ["two steps in process", "one call µs", "both calls µs", "ensemble µs", "over one µs", "over both µs"]
    return _table(head, [["identity, identity", *(f"{figure:.1f}" for figure in figures)]], left=(0,))


def _batching_table(gains: list[BatchingGain]) -> str:
    rows = [
        [
            gain.model,
            str(gain.clients),
            f"{gain.alone_per_second:,.0f}",
            f"{gain.together_per_second:,.0f}",
            f"{gain.gain:.2f}",
        ]
        for gain in gains
    ]
    return _table(["dynamic batching in process", "clients", "alone/s", "together/s", "gain"], rows, left=(0,))


def _decision_table(costs: list[DecisionCost]) -> str:
    rows = [[cost.section, f"{cost.enqueue_us:.1f}", f"{cost.batch_us:.1f}"] for cost in costs]
    return _table(["decisions on thousands of requests", "enqueue µs", "batch µs"], rows, left=(0,))


def _generation_table(costs: list[TurnCost]) -> str:
    rows = [[str(cost.requests), f"{cost.turn_us:.0f}", f"{cost.part_us:.1f}"] for cost in costs]
    return _table(["requests written step by step at once", "turn µs", "a request's part µs"], rows, left=())


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _table(head: list[str], rows: list[list[str]], left: tuple[int, ...]) -> str:
    if not rows:
        return ""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * width}" if column in left else f"{'-' * (width - 1)}:" for column, width in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])

"""`charonia top`."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import click

from charonia.cli.client import Client, url_option
from charonia.cli.exit_codes import EXIT_CODES_EPILOG, RefusedError, UnreachableError
from charonia.cli.metrics_page import metrics_url_option, read_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from charonia.cli.metrics_page import MetricsPage

__all__ = ["Moment", "Version", "table_of", "top"]

_HELP = """Watch what a running server does.

A table for the models: their state, requests a second, failures, how long requests take and how long they queue, how many
wait, the mean size of batches and why they were closed, and memory; all of the last interval. The server needs
charonia-metrics-prometheus; the states come from its HTTP frontend, where it has one.

\b
Example:
  charonia top --interval 2
"""

_HEADINGS = (
    *("Model", "Version", "State", "Req/s", "Fail/s", "p50", "p99", "Queue p99"),
    *("Waiting", "In flight", "Batch", "Reasons", "Memory"),
)
_EXPENDABLE = ("Memory", "In flight", "Reasons", "p50", "Queue p99", "Version", "Batch", "Waiting", "Fail/s", "State")
"""The columns that a narrow terminal does without, the least wanted first."""

_GAP = 3  # between two columns
_FRAME = 5  # lines of a table that are no rows: the headings, their rule, the caption's two, and the cursor's
_UNBOUNDED = 1_000_000
_PATIENCE_SECONDS = 10.0
_TOLD_REASONS = 2


class Version(NamedTuple):
    """A version of a model, with the namespace that tells the model from others of its name, or ""."""

    model: str
    version: str
    namespace: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """The labels that its metrics have."""
        return {name: value for name, value in self._asdict().items() if value}

    @property
    def cells(self) -> tuple[str, str]:
        """What stands in its row for it."""
        return f"{self.namespace}::{self.model}" if self.namespace else self.model, self.version


@dataclass(frozen=True)
class Moment:
    """What a server told at one moment.

    Attributes:
        page: its metrics.
        seconds: when it was asked, on a clock that only goes forward.
        states: the states of versions; empty where nobody tells.
    """

    page: MetricsPage
    seconds: float
    states: Mapping[Version, str]


@click.command(help=_HELP, epilog=EXIT_CODES_EPILOG)
@metrics_url_option
@url_option
@click.option(
    "--interval",
    type=click.FloatRange(min=0, min_open=True),
    default=2,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@click.option(
    "--count", type=click.IntRange(min=0), default=0, metavar="N", help="Stop after so many tables; 0 is never."
)
def top(*, metrics_url: str, url: str, interval: float, count: int) -> None:
    """Look again and again, until Ctrl-C."""
    from rich.live import Live

    from charonia.cli.console import make_console

    client = Client(url, _PATIENCE_SECONDS)
    before = _look(metrics_url, client)
    pause = threading.Event()  # nobody sets it: Ctrl-C ends the wait
    shown = 0
    console = make_console()
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        try:
            while not count or shown < count:
                pause.wait(interval)
                try:
                    now = _look(metrics_url, client)
                except UnreachableError as error:
                    if live is None:
                        raise
                    live.update(f"{error}. Looking again every {interval:g} s.", refresh=True)  # it may come back
                    continue
                if live is None:  # one table after the other
                    console.print(table_of(before, now, console.width))
                else:
                    live.update(table_of(before, now, console.width, console.height), refresh=True)
                before = now
                shown += 1
        except KeyboardInterrupt:
            return


def _look(metrics_url: str, client: Client) -> Moment:
    page = read_metrics(metrics_url, _PATIENCE_SECONDS)
    if page is None:
        raise UnreachableError(
            f"no metrics can be read at {metrics_url}. Does the server run, with charonia-metrics-prometheus? --metrics-url "
            "says where"
        )
    return Moment(page, time.monotonic(), _states(client))


def _states(client: Client) -> dict[Version, str]:
    """Ask for the repository's index. A server need not have an HTTP frontend, nor one that tells everybody."""
    try:
        rows = client.post("repository", "index").document
    except (UnreachableError, RefusedError):
        return {}
    return {
        Version(row["name"], row["version"], row.get("namespace", "")): row["state"]
        for row in (rows if isinstance(rows, list) else ())
        if row.get("version") and row.get("state")
    }


def table_of(before: Moment, now: Moment, width: int = _UNBOUNDED, height: int = _UNBOUNDED) -> Table:
    """Make the table of what happened between two looks, with a row for each version that serves, or was asked to.

    Args:
        before: the earlier look.
        now: the later one.
        width: how many characters wide the table may be; it leaves out columns, and says which.
        height: how many lines it may have; it leaves out the versions that have least to do, and says how many.
    """
    from charonia.cli.console import make_table

    rows = _rows(before, now)
    shown = _busiest(rows, max(height - _FRAME, 1))
    columns = _columns(shown, width)
    memory = now.page.total("process_resident_memory_bytes")
    told = [f"{memory / 2**20:.0f} MiB of memory"] if memory else []
    if len(shown) < len(rows):
        told.append(f"{len(rows) - len(shown)} more that have less to do")
    if len(columns) < len(_HEADINGS):
        missing = [heading for heading in _HEADINGS if heading not in columns]
        told.append(f"a wider terminal shows {', '.join(missing)}")
    table = make_table(
        columns, [[cell for heading, cell in zip(_HEADINGS, row, strict=True) if heading in columns] for row in shown]
    )
    table.caption = "; ".join(told) or None
    return table


def _rows(before: Moment, now: Moment) -> list[list[str]]:
    serving = {
        Version(having["model"], having["version"], having.get("namespace", ""))
        for having, _ in now.page.of("nv_inference_request_success")
    }
    idle = ["-"] * (len(_HEADINGS) - 3)
    return [
        [
            *version.cells,
            now.states.get(version, "-"),
            *(_Interval(before, now, version).cells() if version in serving else idle),
        ]
        for version in sorted(serving | set(now.states))
    ]


def _busiest(rows: Sequence[list[str]], number: int) -> list[list[str]]:
    """Give so many rows with the most requests, in their order."""
    rate = _HEADINGS.index("Req/s")
    order = sorted(range(len(rows)), key=lambda index: -float(rows[index][rate].replace("-", "0")))
    return [rows[index] for index in sorted(order[:number])]


def _columns(rows: Sequence[list[str]], width: int) -> list[str]:
    """Give the headings of the columns that fit."""
    wide = {
        heading: max(len(cell) for cell in (heading, *cells)) for heading, *cells in zip(_HEADINGS, *rows, strict=True)
    }
    for expendable in _EXPENDABLE:
        if sum(wide.values()) + _GAP * (len(wide) - 1) <= width:
            break
        del wide[expendable]
    return list(wide)


class _Interval:
    """What a version did between two looks.

    Args:
        before: the earlier look.
        now: the later one.
        version: which.
    """

    def __init__(self, before: Moment, now: Moment, version: Version) -> None:
        self._before = before.page
        self._now = now.page
        self._seconds = now.seconds - before.seconds
        self._labels = version.labels

    def cells(self) -> list[str]:
        """Write what stands in its row, behind the state."""
        batches = self._since("charonia_batch_size_count")
        memory = self._total("charonia_loaded_bytes")
        return [
            f"{self._since('nv_inference_request_success') / self._seconds:.1f}",
            f"{self._since('nv_inference_request_failure') / self._seconds:.1f}",
            self._quantile("charonia_request_duration_seconds", 0.5),
            self._quantile("charonia_request_duration_seconds", 0.99),
            self._quantile("charonia_queue_duration_seconds", 0.99),
            f"{self._total('nv_inference_pending_request_count'):.0f}",
            f"{self._total('charonia_in_flight_requests'):.0f}",
            f"{self._since('charonia_batch_size_sum') / batches:.1f}" if batches else "-",
            self._reasons(),
            f"{memory / 2**20:.1f} MiB" if memory else "-",
        ]

    def _total(self, name: str) -> float:
        return self._now.total(name, **self._labels)

    def _since(self, name: str) -> float:
        return max(self._total(name) - self._before.total(name, **self._labels), 0)

    def _counts_since(self, name: str, label: str) -> dict[str, float]:
        """Give how far each line of a name has come, by one of its labels."""
        earlier = {having[label]: value for having, value in self._before.of(name, **self._labels)}
        return {
            having[label]: value - earlier.get(having[label], 0) for having, value in self._now.of(name, **self._labels)
        }

    def _quantile(self, histogram: str, share: float) -> str:
        """Tell the upper bound of the bucket that has the quantile, which is at most twice the quantile."""
        counts = {float(bound): count for bound, count in self._counts_since(f"{histogram}_bucket", "le").items()}
        total = max(counts.values(), default=0)
        if total <= 0:
            return "-"
        return f"<{min(bound for bound, count in counts.items() if count >= share * total) * 1000:.3g} ms"

    def _reasons(self) -> str:
        """Tell why most batches were closed, with the shares of these reasons."""
        closed = {
            reason: count
            for reason, count in self._counts_since("charonia_batches_closed", "reason").items()
            if count > 0
        }
        total = sum(closed.values())
        most = sorted(closed.items(), key=lambda item: -item[1])[:_TOLD_REASONS]
        return ", ".join(f"{reason.replace('_', ' ')} {count / total:.0%}" for reason, count in most) or "-"

"""`charonia top`."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from charonia.cli.exit_codes import EXIT_CODES_EPILOG, UnreachableError
from charonia.cli.metrics_page import metrics_url_option, read_metrics

if TYPE_CHECKING:
    from rich.table import Table

    from charonia.cli.metrics_page import MetricsPage

__all__ = ["top"]

_HELP = """Watch what a running server does.

A table for the models: requests a second, failures, how long requests take, how many wait, the mean size of batches and
why most of them were closed; of the last interval. The server needs charonia-metrics-prometheus.

\b
Example:
  charonia top --interval 2
"""

_HEADINGS = ("Model", "Version", "Req/s", "Fail/s", "p50", "p99", "Waiting", "In flight", "Batch", "Closed because")
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class _Moment:
    page: MetricsPage
    seconds: float


@click.command(help=_HELP, epilog=EXIT_CODES_EPILOG)
@metrics_url_option
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
def top(*, metrics_url: str, interval: float, count: int) -> None:
    """Look again and again, until Ctrl-C."""
    from rich.live import Live

    from charonia.cli.console import make_console

    before = _look(metrics_url)
    pause = threading.Event()  # nobody sets it: Ctrl-C ends the wait
    shown = 0
    with Live(console=make_console(), auto_refresh=False) as live:
        try:
            while not count or shown < count:
                pause.wait(interval)
                now = _look(metrics_url)
                live.update(table_of(before.page, now.page, now.seconds - before.seconds), refresh=True)
                before = now
                shown += 1
        except KeyboardInterrupt:
            return


def _look(url: str) -> _Moment:
    page = read_metrics(url, _PATIENCE_SECONDS)
    if page is None:
        raise UnreachableError(
            f"no metrics can be read at {url}. Does the server run, with charonia-metrics-prometheus? --metrics-url says where"
        )
    return _Moment(page, time.monotonic())


def table_of(before: MetricsPage, now: MetricsPage, seconds: float) -> Table:
    """Make the table of what happened between two looks."""
    from charonia.cli.console import make_table

    rows = [_row(before, now, seconds, having) for having, _ in now.of("nv_inference_request_success")]
    table = make_table(_HEADINGS, sorted(rows))
    memory = now.total("process_resident_memory_bytes")
    table.caption = f"{memory / 2**20:.0f} MiB of memory" if memory else None
    return table


def _row(before: MetricsPage, now: MetricsPage, seconds: float, having: dict[str, str]) -> list[str]:
    labels = {"model": having["model"], "version": having["version"]}

    def since(name: str) -> float:
        return max(now.total(name, **labels) - before.total(name, **labels), 0)

    executions = since("nv_inference_exec_count")
    return [
        *labels.values(),
        f"{since('nv_inference_request_success') / seconds:.1f}",
        f"{since('nv_inference_request_failure') / seconds:.1f}",
        *(_quantile(before, now, labels, share) for share in (0.5, 0.99)),
        f"{now.total('nv_inference_pending_request_count', **labels):.0f}",
        f"{now.total('charonia_in_flight_requests', **labels):.0f}",
        f"{since('charonia_batch_size_sum') / executions:.1f}" if executions else "-",
        _main_reason(before, now, labels),
    ]


def _quantile(before: MetricsPage, now: MetricsPage, labels: dict[str, str], share: float) -> str:
    """Tell the upper bound of the bucket that has the quantile, which is at most twice the quantile."""
    name = "charonia_request_duration_seconds_bucket"
    earlier = {having["le"]: value for having, value in before.of(name, **labels)}
    counts = [(float(having["le"]), value - earlier.get(having["le"], 0)) for having, value in now.of(name, **labels)]
    total = max((count for _, count in counts), default=0)
    if total <= 0:
        return "-"
    bound = min(bound for bound, count in counts if count >= share * total)
    return f"<{bound * 1000:.3g} ms"


def _main_reason(before: MetricsPage, now: MetricsPage, labels: dict[str, str]) -> str:
    name = "charonia_batches_closed"
    earlier = {having["reason"]: value for having, value in before.of(name, **labels)}
    closed = {having["reason"]: value - earlier.get(having["reason"], 0) for having, value in now.of(name, **labels)}
    reason = max(closed, key=lambda word: closed[word], default="")
    return reason.replace("_", " ") if reason and closed[reason] > 0 else "-"

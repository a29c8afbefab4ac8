"""The table of `charonia top`: what happened between two looks."""

from __future__ import annotations

import pytest
from charonia.cli.metrics_page import MetricsPage
from charonia.cli.top import Moment, Version, table_of, top
from click.testing import CliRunner
from rich.console import Console


def moment(requests, closed, *, seconds=0.0, states=None):
    """Make a look after so many requests of 3 ms each, and so many batches closed for each reason."""
    labels = {"model": "m", "version": "1"}
    buckets = [
        ({**labels, "le": "0.002"}, 0),
        ({**labels, "le": "0.004"}, requests),
        ({**labels, "le": "+Inf"}, requests),
    ]
    page = MetricsPage(
        {
            "nv_inference_request_success": [(labels, requests)],
            "charonia_batch_size_count": [(labels, requests / 2)],
            "charonia_batch_size_sum": [(labels, requests)],
            "charonia_request_duration_seconds_bucket": buckets,
            "charonia_queue_duration_seconds_bucket": [({**labels, "le": "0.001"}, requests)],
            "charonia_batches_closed": [({**labels, "reason": reason}, count) for reason, count in closed.items()],
            "nv_inference_pending_request_count": [(labels, 3)],
            "charonia_loaded_bytes": [(labels, 5 * 2**20)],
        }
    )
    return Moment(page, seconds, states or {})


def rows_of(table):
    """Give the cells of each row."""
    return [[str(cell) for cell in cells] for cells in zip(*(column.cells for column in table.columns), strict=True)]


def test_the_table_tells_the_interval():
    """Rates, quantiles, the mean batch and the main reasons are those since the look before."""
    before = moment(100, {"full": 50, "closed": 1})
    now = moment(140, {"full": 52, "queue_empty": 17, "delay_over": 1, "closed": 1}, seconds=4.0)
    ((*cells,),) = rows_of(table_of(before, now))
    assert cells == [
        *("m", "1", "-", "10.0", "0.0", "<4 ms", "<4 ms", "<1 ms", "3", "0"),
        *("2.0", "queue empty 85%, full 10%", "5.0 MiB"),
    ]


def test_a_model_that_was_loaded_anew_has_no_negative_rates():
    """Counters that begin anew count as nothing."""
    ((*cells,),) = rows_of(table_of(moment(100, {}), moment(0, {}, seconds=1.0)))
    assert (cells[3], cells[5], cells[10]) == ("0.0", "-", "-")


def test_models_that_do_not_serve_have_their_state():
    """Whatever was asked to load has a row, with what is known of it."""
    states = {Version("m", "1"): "READY", Version("broken", "2"): "UNAVAILABLE"}
    broken, ready = rows_of(table_of(moment(0, {}), moment(0, {}, seconds=1.0, states=states)))
    assert broken == ["broken", "2", "UNAVAILABLE", *["-"] * 10]
    assert ready[:4] == ["m", "1", "READY", "0.0"]


def test_models_of_one_name_are_told_apart():
    """Where namespaces tell models apart, each has a row with its own numbers and its own state."""
    rows = [({"model": "m", "version": "1", "namespace": place}, waiting) for place, waiting in (("/a", 3), ("/b", 4))]
    page = MetricsPage({"nv_inference_request_success": rows, "nv_inference_pending_request_count": rows})
    states = {Version("m", "1", "/a"): "READY", Version("m", "1", "/b"): "UNLOADING"}
    table = table_of(Moment(page, 0.0, {}), Moment(page, 1.0, states))
    assert [(cells[0], cells[2], cells[8]) for cells in rows_of(table)] == [
        ("/a::m", "READY", "3"),
        ("/b::m", "UNLOADING", "4"),
    ]


def busy(number):
    """Make a look at many models, of which the last one has most to do."""
    rows = [({"model": f"model_{index:02}", "version": "1"}, index) for index in range(number)]
    return Moment(MetricsPage({"nv_inference_request_success": rows}), 1.0, {})


def test_a_narrow_terminal_has_whole_cells():
    """Columns are left out instead of folding what is in them, and those are named."""
    before, now = moment(100, {"full": 50}), moment(140, {"full": 52, "queue_empty": 18}, seconds=4.0)
    table = table_of(before, now, width=60)
    assert [column.header for column in table.columns] == [
        *("Model", "State", "Req/s", "Fail/s", "p99", "Waiting", "Batch"),
    ]
    assert table.caption == "a wider terminal shows Version, p50, Queue p99, In flight, Reasons, Memory"
    assert [column.header for column in table_of(before, now, width=1).columns] == ["Model", "Req/s", "p99"]
    assert len(table_of(before, now, width=150).columns) == 13


@pytest.mark.parametrize("width", range(30, 160, 10))
def test_what_is_shown_fits(width):
    """No line is longer than the terminal."""
    table = table_of(moment(100, {}), moment(140, {"full": 52, "queue_empty": 18}, seconds=4.0), width=width)
    console = Console(width=200)
    assert console.measure(table).maximum <= width


def test_a_low_terminal_has_those_with_most_to_do():
    """In their order, with the number of the others."""
    table = table_of(Moment(MetricsPage({}), 0.0, {}), busy(20), height=8)
    assert [cells[0] for cells in rows_of(table)] == ["model_17", "model_18", "model_19"]
    assert table.caption == "17 more that have less to do"


@pytest.mark.parametrize(("terminal", "exit_code"), [(True, 0), (False, 3)])
def test_a_server_that_goes_away_may_come_back(metrics_site, terminal, exit_code):
    """On a terminal it is looked for until it answers again; whoever reads the tables elsewhere is told."""
    served, url = metrics_site
    page = b'nv_inference_request_success{model="m",version="1"} 1\n'
    pages = iter([page, b"", page])
    served["text"] = lambda: next(pages)
    environment = {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"} if terminal else {}
    words = ["--url=http://127.0.0.1:1", f"--metrics-url={url}", "--interval=0.001", "--count=1"]
    told = CliRunner().invoke(top, words, env=environment)
    assert told.exit_code == exit_code, told.output
    assert "no metrics can be read" in told.output
    assert ("Looking again every 0.001 s." in told.output) == terminal
    assert ("Req/s" in told.output) == terminal

"""The table of `charonia top`: what happened between two looks."""

from __future__ import annotations

from charonia.cli.metrics_page import MetricsPage
from charonia.cli.top import Moment, Version, table_of


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

"""The table of `charonia top`: what happened between two looks."""

from __future__ import annotations

from charonia.cli.metrics_page import MetricsPage
from charonia.cli.top import table_of


def page(requests, closed):
    """Make a page after so many requests of 3 ms each, and so many batches closed for each reason."""
    labels = {"model": "m", "version": "1"}
    buckets = [
        ({**labels, "le": "0.002"}, 0),
        ({**labels, "le": "0.004"}, requests),
        ({**labels, "le": "+Inf"}, requests),
    ]
    return MetricsPage(
        {
            "nv_inference_request_success": [(labels, requests)],
            "nv_inference_exec_count": [(labels, requests / 2)],
            "charonia_batch_size_sum": [(labels, requests)],
            "charonia_request_duration_seconds_bucket": buckets,
            "charonia_batches_closed": [({**labels, "reason": reason}, count) for reason, count in closed.items()],
            "nv_inference_pending_request_count": [(labels, 3)],
        }
    )


def test_the_table_tells_the_interval():
    """Rates, quantiles, the mean batch and the main reason are those since the look before."""
    table = table_of(page(100, {"full": 50}), page(140, {"full": 52, "queue_empty": 18}), 4.0)
    cells = [str(next(iter(column.cells))) for column in table.columns]
    assert cells == ["m", "1", "10.0", "0.0", "<4 ms", "<4 ms", "3", "0", "2.0", "queue empty"]


def test_a_model_that_was_loaded_anew_has_no_negative_rates():
    """Counters that begin anew count as nothing."""
    table = table_of(page(100, {}), page(0, {}), 1.0)
    assert str(next(iter(table.columns[2].cells))) == "0.0"

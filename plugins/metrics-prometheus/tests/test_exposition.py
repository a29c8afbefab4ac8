"""The text format: what is written is what Prometheus' own parser reads."""

from __future__ import annotations

import math

from charonia_metrics_prometheus.exposition import exposition
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

texts = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"))
names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
numbers = st.integers(-(10**15), 10**15) | st.floats(allow_nan=False)


@given(st.lists(st.tuples(st.dictionaries(names, texts, max_size=3), numbers), min_size=1, max_size=4))
def test_labels_and_values_survive(rows):
    """Whatever stands in a label, and however large a value is, the parser reads what was told."""
    metric = Metric("acme_things", "Things", "gauge")
    for labels, value in rows:
        metric.add_sample("acme_things", labels, value)
    (family,) = text_string_to_metric_families(exposition([metric]).decode())
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        (labels, float(value)) for labels, value in rows
    ]


def test_a_counter_keeps_its_name():
    """Nothing is appended to the name of a counter, and what has no sample is not there."""
    metric = Metric("nv_inference_count", "Number of \\ inferences\nperformed", "counter")
    metric.add_sample("nv_inference_count", {"model": 'a"b'}, 3)
    assert exposition([metric, Metric("nothing", "Nothing", "gauge")]).decode() == (
        "# HELP nv_inference_count Number of \\\\ inferences\\nperformed\n"
        "# TYPE nv_inference_count counter\n"
        'nv_inference_count{model="a\\"b"} 3\n'
    )


def test_numbers_that_are_none():
    """What is infinite, or no number, is written as Prometheus reads it."""
    metric = Metric("x", "", "gauge")
    for value in (math.inf, -math.inf, math.nan):
        metric.add_sample("x", {}, value)
    assert exposition([metric]).decode().splitlines()[2:] == ["x +Inf", "x -Inf", "x NaN"]


def test_what_is_no_text_is_replaced():
    """A model may put half a character into a label or a description: all the others are told nevertheless."""
    metric = Metric("x", "half \ud83d", "gauge")
    metric.add_sample("x", {"a": "\udcff"}, 1)
    assert exposition([metric]).decode() == '# HELP x half ?\n# TYPE x gauge\nx{a="?"} 1\n'

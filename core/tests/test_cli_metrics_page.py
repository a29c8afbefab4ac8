"""Reading pages of metrics: those of servers, and what only looks like one."""

from __future__ import annotations

import pytest
from charonia.cli.metrics_page import read_metrics, whole_url
from hypothesis import given
from hypothesis import strategies as st

ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@given(name=st.text(st.characters(codec="utf-8")), value=st.floats(allow_nan=False))
def test_labels_are_read_as_they_were_meant(metrics_site, name, value):
    """Whatever a model is called, its lines are found by its name."""
    told, url = metrics_site
    told["text"] = f'# HELP a b\na{{model="{name.translate(ESCAPES)}",version="1"}} {value!r}\n'.encode()
    page = read_metrics(url, 10)
    assert list(page.of("a", model=name)) == [({"model": name, "version": "1"}, value)]
    assert page.total("a", version="1") == value


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        (b"", {}),
        (b"hello world\n", {}),
        (b"<html>\n", {}),
        (b"\xff\xfe", {}),
        (b"a 1\n", {"Content-Length": "100"}),
    ],
)
def test_what_is_no_page_of_metrics_is_none(metrics_site, text, headers):
    """A page without metrics, of other bytes, or that breaks off, is not read, and nothing is raised."""
    told, url = metrics_site
    told.update(text=text, headers=headers)
    assert read_metrics(url, 10) is None
    told.pop("headers")


def test_lines_with_other_values_are_passed_over(metrics_site):
    """What has no number is no metric."""
    told, url = metrics_site
    told["text"] = b"hello world\na NaN\nb +Inf\nc 1e3\n"
    assert sorted(read_metrics(url, 10).samples) == ["a", "b", "c"]
    assert read_metrics(url, 10).total("c") == 1000


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("http://127.0.0.1:8002/metrics", "http://127.0.0.1:8002/metrics"),
        ("127.0.0.1:8002/metrics", "http://127.0.0.1:8002/metrics"),
        ("127.0.0.1:8002", "http://127.0.0.1:8002/metrics"),
        ("https://there/", "https://there/metrics"),
        ("http://there/behind/a/proxy?x=1", "http://there/behind/a/proxy?x=1"),
        ("http://[", "http://["),
    ],
)
def test_what_may_be_left_out_of_a_url(said, meant):
    """Scheme and path are completed; whatever else is said is kept."""
    assert whole_url(said) == meant

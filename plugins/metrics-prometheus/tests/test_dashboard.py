"""The dashboard asks for what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia_metrics_prometheus.gpus import Gpus

from benchmarks.process import free_port

DASHBOARD = json.loads((Path(__file__).parents[3] / "deploy/grafana/charonia.json").read_text())
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
VARIABLES = [variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
FUNCTIONS = {"sum", "by", "rate", "increase", "histogram_quantile", "label_values"}
TEXTS_AND_SPANS = re.compile(r'"[^"]*"|\[[^\]]*\]')


@pytest.fixture
def page(model_repository):
    """Give the labels of each name on a page that was read from a server with models of every kind."""
    config = model_config("m")
    config.response_cache.enable = True
    write_model(model_repository, config)
    write_model(model_repository, model_config("many", decoupled=True, max_batch_size=0))
    python = model_config("process", backend="python", parameters={"EXECUTION_MODE": "process"})
    write_model(model_repository, python, {"1/model.py": "class TritonPythonModel:\n    pass\n"})
    port = free_port()
    options = ServerOptions(cache_config={"local": {"size": "10000"}})
    with (
        Server(model_repository, options=options, plugins=Plugins(extra=[ArithmeticPlugin()])) as server,
        serve_in_thread(server, {"allow-http": False, "allow-grpc": False, "metrics-port": port}),
    ):
        server.model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)})
        text = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    gpus = Gpus(0)  # a machine without any has no rows of them, but what their rows would be called is known
    names = {family.name: {"gpu_uuid"} for family in gpus.metrics()}
    gpus.close()
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        names.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return names


def names_in(query):
    """Give all names in a query that are no functions."""
    return set(re.findall(r"[a-z_]\w*", TEXTS_AND_SPANS.sub("", query))) - FUNCTIONS


def test_every_query_names_what_is_on_a_page(page):
    """Each name in a query is that of a row, or of a label that such a row has, and so is each label in a legend."""
    for query in [*(target["expr"] for target in TARGETS), *(variable["query"] for variable in VARIABLES)]:
        asked = names_in(query) & page.keys()
        labels = set().union(*(page[name] for name in asked))
        assert asked, query
        assert names_in(query) <= asked | labels, query
    for target in TARGETS:
        labels = {"instance"}.union(*(page[name] for name in names_in(target["expr"]) & page.keys()))  # Prometheus' own
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, target


def test_panels_have_places_of_their_own():
    """No panel covers another, and none has the id of another."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    squares = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(set(squares)) == len(squares)

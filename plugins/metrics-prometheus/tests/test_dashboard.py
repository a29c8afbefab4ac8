"""The dashboard asks for what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia_metrics_prometheus.collector import ServerCollector
from charonia_metrics_prometheus.gpus import Gpus
from charonia_metrics_prometheus.loop_lag import LoopLag
from charonia_metrics_prometheus.machine import Machine
from charonia_metrics_prometheus.settings import MetricsSettings

DASHBOARD = Path(__file__).parents[3] / "deploy/grafana/charonia.json"
WORDS = {"sum", "by", "rate", "increase", "histogram_quantile", "label_values"}
LABELS_OF_SOME = {"gpu_uuid"}


def test_every_query_names_families_and_labels_that_there_are(model_repository):
    """Each name in a query is a family's or a sample's of a page, and each label one that the family has."""
    config = model_config("m")
    config.response_cache.enable = True
    write_model(model_repository, config)
    write_model(model_repository, model_config("many", decoupled=True, max_batch_size=0))
    python = model_config("process", backend="python", parameters={"EXECUTION_MODE": "process"})
    write_model(model_repository, python, {"1/model.py": "class TritonPythonModel:\n    pass\n"})
    options = ServerOptions(cache_config={"local": {"size": "10000"}})
    with Server(model_repository, options=options, plugins=Plugins(extra=[ArithmeticPlugin()])) as server:
        server.model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)})
        gpus = Gpus(0)
        collector = ServerCollector(server, MetricsSettings(), machine=Machine(0), gpus=gpus, lag=LoopLag())
        families = list(collector.collect())
        gpus.close()
    names = {family.name for family in families} | {sample.name for family in families for sample in family.samples}
    labels = {label for family in families for sample in family.samples for label in sample.labels} | LABELS_OF_SOME
    dashboard = json.loads(DASHBOARD.read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    queries = [target["expr"] for target in targets]
    queries += [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    for query in queries:
        bare = re.sub(r'"[^"]*"|\[[^\]]*\]', "", query)
        words = set(re.findall(r"[a-z_]\w*", bare)) - WORDS
        assert words <= names | labels, query
        assert words & names, query
    for target in targets:
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels

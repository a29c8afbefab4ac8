"""The rows of models: which there are, under which labels, and what happens to them when models are loaded anew."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from charonia import ServerOptions
from charonia.config import config_to_json
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticBackend, ArithmeticPlugin, Gate
from charonia_metrics_prometheus.collector import ServerCollector
from charonia_metrics_prometheus.exposition import exposition
from charonia_metrics_prometheus.settings import MetricsSettings
from prometheus_client.parser import text_string_to_metric_families

INPUT = {"INPUT0": np.ones((2, 16), np.float32)}


@pytest.fixture
def start(server, model_repository):
    """Serve a configuration, and give the server."""

    def serve(config):
        write_model(model_repository, config)
        return server(model_repository, plugins=Plugins(extra=[ArithmeticPlugin()]))

    return serve


def told_of(running, settings=None):
    """Give the values of all rows of models by their name, and their labels without the model's."""
    collector = ServerCollector(running, settings or MetricsSettings())
    return {
        (sample.name, *(item for item in sample.labels.items() if item[0] not in {"model", "version"})): sample.value
        for family in collector.collect()
        for sample in family.samples
        if "model" in sample.labels
    }


def test_counters_go_on_where_a_load_replaces_another_one(start):
    """A model that is loaded anew counts on; one that was unloaded before begins at 0."""
    running = start(model_config("m"))
    running.model("m").infer(INPUT)
    running.load("m", config=json.dumps(config_to_json(model_config("m", parameters={"scale": "2"}))))
    running.model("m").infer(INPUT)
    told = told_of(running)
    assert (told["nv_inference_request_success",], told["nv_inference_count",]) == (2, 4)
    assert told["charonia_request_duration_seconds_count",] == 2
    assert (told["charonia_batch_size_count",], told["charonia_batches_closed", ("reason", "unbatched")]) == (2, 2)
    running.unload("m")
    assert told_of(running) == {}
    running.load("m")
    assert told_of(running)["nv_inference_request_success",] == 0


def test_no_tag_spoils_the_page(start):
    """A tag whose name is none of a label has `_` for what does not fit; its value may be anything."""
    config = model_config("m")
    for tag in ("my-tag", "x\u00e9", "a b", "1", ""):
        config.metric_tags[tag] = 'x"\\\n'
    page = exposition(ServerCollector(start(config), MetricsSettings()).collect()).decode()
    (family,) = [it for it in text_string_to_metric_families(page) if it.name == "nv_inference_request_success"]
    value = 'x"\\\n'
    assert family.samples[0].labels == {
        **dict.fromkeys(("_", "_1", "_a_b", "_x_", "_my_tag"), value),
        "model": "m",
        "version": "1",
    }


def test_tags_that_would_be_one_label_are_told_together(start):
    """No value is lost: those of tags whose names differ in what no label's name has stand in one label, in the tags' order."""
    config = model_config("m")
    for tag, value in {"a.b": "2", "a-b": "1", "a_b": "3", "c": "4"}.items():
        config.metric_tags[tag] = value
    (labels,) = (set(labels) for name, *labels in told_of(start(config)) if name == "nv_inference_exec_count")
    assert labels == {("_a_b", "1;2;3"), ("_c", "4")}


def test_the_time_that_loading_took_is_told(start):
    """It is there for each model, whether durations are counted or not."""
    running = start(model_config("m"))
    for settings in (MetricsSettings(), MetricsSettings(counter_latencies=False, histogram_latencies=False)):
        assert 0 < told_of(running, settings)["nv_model_load_duration_secs",] < 60


def test_gauges_tell_the_moment(start):
    """While a request is executed and others wait, so many are in flight and so many pending; the memory is the model's."""
    running = start(model_config("m", parameters={"gate": "gauges"}))
    answered = [threading.Event() for _ in range(3)]
    with Gate("gauges") as gate:
        for event in answered:
            running.submit(InferenceRequest("m", INPUT, lambda _, event=event: event.set()))
        gate.wait_entered()
        told = told_of(running)
    assert (told["charonia_in_flight_requests",], told["nv_inference_pending_request_count",]) == (3, 2)
    assert told["charonia_loaded_bytes",] == running.statistics("m")[0].counters.host_byte_size
    assert all(event.wait(60) for event in answered)
    told = told_of(running)
    assert told["nv_inference_pending_request_count",] == 0


def test_first_responses_have_the_buckets_of_the_configuration(start):
    """A decoupled model tells of its first responses, in milliseconds; it can be switched off as in the reference."""
    config = model_config("m", decoupled=True, max_batch_size=0)
    control = config.model_metrics.metric_control.add()
    control.metric_identifier.family = name = "nv_inference_first_response_histogram_ms"
    control.histogram_options.buckets.extend([0, 60_000.5])
    running = start(config)
    list(running.model("m").stream({"INPUT0": np.full(16, 3, np.float32)}))
    told = told_of(running)
    assert [told[f"{name}_bucket", ("le", bound)] for bound in ("0", "60000.5", "+Inf")] == [0, 1, 1]
    assert told[f"{name}_count",] == 1
    assert 0 < told[f"{name}_sum",] < told["nv_inference_request_duration_us",] / 1000 + 1
    without = told_of(running, MetricsSettings(histogram_latencies=False))
    assert not any(key[0].startswith(name) for key in without)


def test_only_decoupled_models_tell_of_first_responses(start):
    """Where each request has one response, its time is that of the request, and there is no second histogram."""
    running = start(model_config("m"))
    running.model("m").infer(INPUT)
    assert not any("first_response" in key[0] for key in told_of(running))


@pytest.mark.parametrize("gpus", [[1], [0, 1]])
def test_rows_of_models_are_the_same_on_gpus(start, monkeypatch, gpus):
    """As in the reference, only what the driver tells names a GPU: a model has one row, wherever its instances are."""
    monkeypatch.setattr(ArithmeticBackend, "gpus", lambda _: (0, 1))
    config = model_config("m")
    config.instance_group.add(kind="KIND_GPU", gpus=gpus, count=1)
    running = start(config)
    running.model("m").infer(INPUT)
    told = told_of(running)
    assert told["nv_inference_request_success",] == told["nv_inference_exec_count",] == 1


def test_namespaces_are_labels(server, tmp_path):
    """Models of equal names in several repositories are told apart by the label that the reference has for it."""
    for repository in ("A", "B"):
        write_model(tmp_path / repository, model_config("m"))
    options = ServerOptions(model_namespacing=True)
    places = [tmp_path / "A", tmp_path / "B"]
    running = server(places, options=options, plugins=Plugins(extra=[ArithmeticPlugin()]))
    told = told_of(running)
    for place in places:
        assert told["nv_inference_request_success", ("namespace", str(place))] == 0

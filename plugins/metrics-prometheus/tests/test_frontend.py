"""The page as Prometheus reads it, from a server that serves."""

from __future__ import annotations

import http.client
import logging
import math
import queue
import socket
from contextlib import suppress

import numpy as np
import pytest
from charonia import ServerOptions
from charonia.errors import CharoniaError, InferenceError
from charonia.metric_families import Histogram, MetricFamily, MetricKind, MetricSample
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticBackend, ArithmeticPlugin, Gate
from charonia.testing.patience import wait_until
from charonia_metrics_prometheus import frontend
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.process import free_port


@pytest.fixture
def port():
    """Give a port that is free."""
    return free_port()


@pytest.fixture
def watched(server, model_repository, port):
    """Serve the models of the repository, and give the server."""

    def start(**settings):
        running = server(
            model_repository,
            options=ServerOptions(cache_config={"local": {"size": "100000"}}),
            plugins=Plugins(extra=[ArithmeticPlugin()]),
        )
        options = {name.replace("_", "-"): value for name, value in settings.items()}
        serving = serve_in_thread(running, {"allow-http": False, "allow-grpc": False, "metrics-port": port, **options})
        return running, serving

    return start


def ask(port, path="/metrics", method="GET"):
    """Give the status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def scrape(port):
    """Give all values by name and labels. The parser appends `_total` to the names of counters, as it thinks they should be."""
    status, body = ask(port)
    assert status == 200
    return {
        (sample.name.removesuffix("_total"), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def key(name, **labels):
    """Write a sample's key as `scrape` does."""
    return (name, *sorted({"model": "m", "version": "1", **labels}.items()))


INPUT = {"INPUT0": np.ones((2, 16), np.float32)}


def test_counts_are_those_of_the_statistics(watched, model_repository, port):
    """What the page tells of a model is what the server counts."""
    config = model_config("m", parameters={"fail_on": "7"})
    config.metric_tags["team"] = "blue"
    write_model(model_repository, config)
    running, serving = watched()
    with serving as urls:
        assert urls == []
        for _ in range(3):
            running.model("m").infer(INPUT)
        with pytest.raises(Exception, match="7"):
            running.model("m").infer({"INPUT0": np.full((1, 16), 7, np.float32)})
        told = scrape(port)
        counted = running.statistics("m")[0].counters
    assert told[key("nv_inference_request_success", _team="blue")] == 3
    assert told[key("nv_inference_request_failure", _team="blue", reason="BACKEND")] == 1
    assert told[key("nv_inference_request_failure", _team="blue", reason="CANCELED")] == 0
    assert told[key("nv_inference_count", _team="blue")] == counted.inference_count == 6
    assert told[key("nv_inference_exec_count", _team="blue")] == counted.execution_count == 4
    assert told[key("nv_inference_request_duration_us", _team="blue")] == counted.success.ns // 1000
    assert told[key("nv_inference_queue_duration_us", _team="blue")] == counted.queue.ns // 1000
    assert told[key("charonia_batches_closed", _team="blue", reason="unbatched")] == 4
    assert told[key("charonia_batch_size_bucket", _team="blue", le="1")] == 1
    assert told[key("charonia_batch_size_sum", _team="blue")] == 7
    assert told[key("charonia_request_duration_seconds_count", _team="blue")] == 3
    assert told[key("charonia_request_duration_seconds_bucket", _team="blue", le="+Inf")] == 3
    assert told[key("charonia_in_flight_requests", _team="blue")] == 0
    assert key("nv_cache_num_hits_per_model", _team="blue") not in told


def test_hits_and_misses_of_the_cache_are_told(watched, model_repository, port):
    """A model whose responses are kept has rows for hits and misses, and the cache tells how full it is."""
    config = model_config("m")
    config.response_cache.enable = True
    write_model(model_repository, config)
    running, serving = watched()
    with serving:
        for _ in range(3):
            running.model("m").infer(INPUT)
        told = scrape(port)
    assert told[key("nv_cache_num_hits_per_model")] == told["nv_cache_num_hits",] == 2
    assert told[key("nv_cache_num_misses_per_model")] == told["nv_cache_num_misses",] == 1
    assert (told["nv_cache_num_lookups",], told["nv_cache_num_entries",]) == (3, 1)
    assert 0 < told["nv_cache_util",] < 1
    assert told[key("nv_inference_request_success")] == 3
    assert told[key("nv_inference_count")] == 2


def test_quantiles_are_told_on_demand(watched, model_repository, port):
    """Summaries have a count, a sum and the quantiles that were asked for, which are no numbers before the first request."""
    write_model(model_repository, model_config("m"))
    running, serving = watched(
        metrics_config="summary_latencies=true\nsummary_quantiles=0.5:0.1\ncounter_latencies=false"
    )
    with serving:
        before = scrape(port)
        running.model("m").infer(INPUT)
        after = scrape(port)
    name = "nv_inference_request_summary_us"
    assert math.isnan(before[key(name, quantile="0.5")])
    assert after[key(f"{name}_count")] == 1
    assert after[key(name, quantile="0.5")] == pytest.approx(after[key(f"{name}_sum")], rel=0.3)
    assert not any(sample[0] == "nv_inference_request_duration_us" for sample in after)
    assert key("nv_cache_hit_summary_per_model_count") not in after


METRICS_MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        family = pb_utils.MetricFamily("acme_requests", "Requests of acme", pb_utils.MetricFamily.COUNTER)
        sizes = pb_utils.MetricFamily("acme_sizes", "Sizes", pb_utils.MetricFamily.HISTOGRAM)
        self.seen = family.Metric(labels={"site": "x"})
        self.sizes = sizes.Metric(labels={}, buckets=[1, 2000001, 2000002.5])

    def execute(self, requests):
        responses = []
        for request in requests:
            array = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            self.seen.increment(1)
            self.sizes.observe(array.shape[0])
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", array)]))
        return responses
"""


def test_metrics_of_python_models_join(watched, model_repository, port):
    """What a Python model counts is on the page, histograms added up as Prometheus wants them."""
    write_model(model_repository, model_config("m", backend="python"), {"1/model.py": METRICS_MODEL})
    running, serving = watched()
    with serving:
        for _ in range(2):
            running.model("m").infer(INPUT)
        told = scrape(port)
    assert told["acme_requests", ("site", "x")] == 2
    bounds = ("1", "2000001", "2000002.5", "+Inf")
    assert [told["acme_sizes_bucket", ("le", bound)] for bound in bounds] == [0, 2, 2, 2]
    assert (told["acme_sizes_sum",], told["acme_sizes_count",]) == (4, 2)


@pytest.mark.parametrize(
    "name",
    [
        "nv_inference_count",
        "charonia_batch_size_count",  # a line of a histogram
        "nv_inference_queue_summary_us",  # the server's own, though it stands behind those of models
        "process_cpu_seconds_total",
        "acme_sizes_count",
        "nv_cache_num_entries",
    ],
)
def test_the_servers_names_are_its_own(watched, model_repository, port, caplog, name):
    """A model's family of such a name would make the page one that cannot be read: it is left out, and that is told once."""
    source = METRICS_MODEL.replace("acme_requests", name)
    if name.startswith("acme"):
        first, second, *_ = [line for line in source.splitlines() if "MetricFamily(" in line]
        source = source.replace(f"{first}\n{second}", f"{second}\n{first}")
    write_model(model_repository, model_config("m", backend="python"), {"1/model.py": source})
    running, serving = watched(metrics_config="summary_latencies=true")
    with serving:
        running.model("m").infer(INPUT)
        told = [scrape(port) for _ in range(2)][-1]
    assert told[key("nv_inference_count")] == 2  # elements
    assert not any(sample[0] == name and ("site", "x") in sample for sample in told)
    assert told["acme_sizes_count",] == 1
    assert [record.getMessage() for record in caplog.records if "left out" in record.getMessage()] == [
        f"metrics are left out, since there are others of their name: {name}"
    ]


def test_what_a_backend_tells_wrongly_is_left_out(watched, model_repository, port, caplog, monkeypatch):
    """A family that nobody could read is told of in the log, once, and all others are on the page; numbers may be numpy's."""

    def families(_backend):
        number = MetricSample({"a": "b"}, np.float32(1.5))
        sizes = MetricSample({}, Histogram([1.0], np.array([2, 3]), np.float64(9)))
        return [
            MetricFamily("acme_numbers", None, MetricKind.GAUGE, [number]),
            MetricFamily("acme_sizes", "Sizes", MetricKind.HISTOGRAM, [sizes]),
            MetricFamily("no name", "A name with a space", MetricKind.GAUGE, [number]),
            MetricFamily("acme_label", "A label", MetricKind.GAUGE, [MetricSample({"a-b": "c"}, 1)]),
            MetricFamily("acme_text", "A label that is no text", MetricKind.GAUGE, [MetricSample({"a": 1}, 1)]),
            MetricFamily("acme_none", "No number", MetricKind.GAUGE, [MetricSample({}, None)]),
            MetricFamily("acme_short", "Too few", MetricKind.HISTOGRAM, [MetricSample({}, Histogram([1.0], [2], 9))]),
        ]

    monkeypatch.setattr(ArithmeticBackend, "metrics", families, raising=False)
    write_model(model_repository, model_config("m"))
    _, serving = watched()
    with serving:
        told = [scrape(port) for _ in range(2)][-1]
    assert told["acme_numbers", ("a", "b")] == 1.5
    assert (told["acme_sizes_bucket", ("le", "1")], told["acme_sizes_count",], told["acme_sizes_sum",]) == (2, 5, 9)
    assert told[key("nv_inference_count")] == 0
    left_out = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert [text.rpartition(": ")[2] for text in left_out] == [
        "no name",
        "acme_label",
        "acme_text",
        "acme_none",
        "acme_short",
    ]


def test_rows_go_with_the_model(watched, model_repository, port):
    """A model that is unloaded has no rows, all failure reasons included."""
    write_model(model_repository, model_config("m"))
    running, serving = watched()
    with serving:
        assert key("nv_inference_request_failure", reason="OTHER") in scrape(port)
        running.unload("m")
        assert not any(("model", "m") in sample for sample in scrape(port))


def test_rows_stay_while_requests_are_finished(watched, model_repository, port):
    """An unloaded model is told of until it has answered what it had accepted, as in the reference; then its rows go."""
    write_model(model_repository, model_config("m", parameters={"gate": "departing"}))
    running, serving = watched()
    answers = queue.SimpleQueue()
    with serving, Gate("departing") as gate:
        for _ in range(2):
            running.submit(InferenceRequest("m", {"INPUT0": INPUT["INPUT0"]}, answers.put))
        gate.wait_entered()
        running.unload("m")
        with pytest.raises(InferenceError, match="is not available"):
            running.statistics("m")
        told = scrape(port)
        gate.open()
        for _ in range(2):
            assert answers.get(timeout=60).error is None
        wait_until(lambda: not running.departing())
        after = scrape(port)
    assert told[key("nv_inference_pending_request_count")] == 1
    assert told[key("charonia_in_flight_requests")] == 2
    assert not any(("model", "m") in sample for sample in after)


def test_no_interval_is_negative(watched):
    """What cannot be is told before anything listens."""
    _, serving = watched(metrics_interval_ms=-5)
    with pytest.raises(CharoniaError, match="--metrics-interval-ms=-5: expected a whole number from 0 up"), serving:
        pass


def test_only_the_page_is_there(watched, port):
    """Other paths and methods are refused, what is no HTTP is hung up on, and groups can be left out."""
    _, serving = watched(allow_cpu_metrics=False, metrics_config="histogram_latencies=false")
    with serving:
        assert ask(port, "/")[0] == 404
        assert ask(port, "/metrics/")[0] == 200
        assert ask(port, method="POST")[0] == 405
        assert ask(port, method="HEAD") == (200, "")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as raw, suppress(ConnectionResetError):
            raw.sendall(b"x" * 40_000 + b"\r\n\r\n")
            assert raw.recv(100) == b""
        assert {family.name for family in text_string_to_metric_families(ask(port)[1])} >= {
            "charonia_event_loop_lag_seconds"
        }
        assert "nv_cpu" not in ask(port)[1]


def test_a_taken_port_that_was_asked_for_is_an_error(watched, port):
    """Whoever chose a port learns that it is taken."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        _, serving = watched()
        with pytest.raises(Exception, match="cannot listen"), serving:
            pass


def test_a_taken_usual_port_keeps_nobody_from_serving(watched, caplog, monkeypatch, port):
    """Where nobody chose the port, a server whose port is taken serves without metrics, and its log says so."""
    monkeypatch.setattr(frontend, "_USUAL_PORT", port)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        _, serving = watched()
        with caplog.at_level(logging.INFO), serving:
            pass
    assert f"metrics: none, since port {port} is taken: choose another one by --metrics-port" in caplog.messages


def test_it_can_be_switched_off(watched, port):
    """With allow-metrics=false nobody listens."""
    _, serving = watched(allow_metrics=False)
    with serving, pytest.raises(ConnectionRefusedError):
        ask(port)

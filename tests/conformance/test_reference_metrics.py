"""After the same requests, the metrics and the statistics tell the same of both servers."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from functools import partial

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from charonia.testing.patience import wait_until
from recordings import MODELS
from traffic import SERVED, STATUSES, GrpcTraffic, ask, send_over_http, write_models

from benchmarks.process import free_port

COUNTED = (
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_pending_request_count",
    "nv_cache_num_hits_per_model",
    "nv_cache_num_misses_per_model",
    "nv_cache_num_entries",
    "nv_cache_num_hits",
    "nv_cache_num_misses",
    "nv_cache_num_lookups",
    "nv_cache_num_evictions",
    "nv_inference_request_summary_us_count",
    "nv_inference_queue_summary_us_count",
)
UNCOUNTED = {"ns", "last_inference", "batch_reasons", "memory_usage"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Write the models that the recordings have not."""
    repository = tmp_path_factory.mktemp("models")
    write_models(repository)
    return repository


@pytest.fixture(scope="module")
def reference(run_reference, models):
    """Run the reference, and give its ports for HTTP, for gRPC and for metrics."""
    http_port, grpc_port, metrics_port = free_port(), free_port(), free_port()
    flags = [
        f"--model-repository={MODELS}",
        f"--model-repository={models}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in SERVED),
        "--cache-config=local,size=1048576",
        "--metrics-config=summary_latencies=true",
        "--metrics-interval-ms=2",  # the totals of the cache are polled there
        "--http-address=127.0.0.1",
        f"--http-port={http_port}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc_port}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={metrics_port}",
        "--exit-timeout-secs=1",
    ]
    with run_reference(http_port, *flags, ready="Started Metrics Service"):
        yield http_port, grpc_port, metrics_port


@pytest.fixture(scope="module")
def ours(models):
    """Serve the same models, and give the same ports."""
    options = ServerOptions(
        model_control_mode="explicit", load_model=SERVED, cache_config={"local": {"size": "1048576"}}
    )
    metrics_port = free_port()
    settings = {"http-port": 0, "grpc-port": 0, "metrics-port": metrics_port}
    with ExitStack() as opened:
        server = opened.enter_context(Server([MODELS, models], options=options))
        urls = opened.enter_context(serve_in_thread(server, {**settings, "metrics-config": "summary_latencies=true"}))
        ports = {kind: int(rest.rpartition(":")[2]) for kind, _, rest in (url.partition(":") for url in urls)}
        yield ports["http"], ports["grpc"], metrics_port


def read_page(port):
    """Give the families by name, as help and type, and all values by what stands before them."""
    body = ""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # until the reference, too, has counted all three looks into the cache
        status, body = ask(port, "/metrics")
        assert status == 200
        if "\nnv_cache_num_lookups 3\n" in body:
            break
    families = dict(re.findall(r"# HELP (\S+) (.*)", body))
    kinds = dict(re.findall(r"# TYPE (\S+) (.*)", body))
    values = dict(re.findall(r"^([^#\s]\S*) (\S+)$", body, re.MULTILINE))
    return {name: (text, kinds[name]) for name, text in families.items()}, values


@pytest.fixture(scope="module")
def told(reference, ours, models):
    """Give what both servers tell after the same requests: the reference's page and statistics, and ours."""
    pages = []
    for http_port, grpc_port, metrics_port in (reference, ours):
        assert send_over_http(http_port) == STATUSES
        GrpcTraffic(grpc_port, metrics_port, models).send()
        statistics = json.loads(ask(http_port, "/v2/models/stats")[1])["model_stats"]
        pages.append((read_page(metrics_port), statistics))
    return pages


def test_the_page_is_the_references(told):
    """Every family of the reference is there, with its help and its type, in its order and with its rows."""
    ((theirs, their_values), _), ((here, our_values), _) = told
    assert {name: here.get(name) for name in theirs} == theirs
    assert [name for name in here if name in theirs] == list(theirs)
    assert set(their_values) <= set(our_values)


@pytest.mark.parametrize("name", COUNTED)
def test_the_counts_are_the_references(told, name):
    """What is counted has the same numbers."""
    ((_, theirs), _), ((_, here), _) = told
    expected = {row: float(value) for row, value in theirs.items() if row.partition("{")[0] == name}
    assert expected
    assert {row: float(here[row]) for row in expected} == expected


def test_the_statistics_are_the_references(told):
    """The statistics count the same."""
    (_, theirs), (_, here) = told
    assert counts_of(here) == counts_of(theirs)


def counts_of(statistics):
    """Leave out the durations and the time, and what the reference has not."""
    if isinstance(statistics, dict):
        return {key: counts_of(value) for key, value in statistics.items() if key not in UNCOUNTED}
    return [counts_of(value) for value in statistics] if isinstance(statistics, list) else statistics


def test_page_and_statistics_agree(told):
    """The durations of the page are those of the statistics, in microseconds."""
    _, ((_, values), statistics) = told
    for model in statistics:
        row = f'{{model="{model["name"]}",version="{model["version"]}"}}'
        for name, key in (
            ("request", "success"),
            ("queue", "queue"),
            ("compute_input", "compute_input"),
            ("compute_infer", "compute_infer"),
            ("compute_output", "compute_output"),
        ):
            counted = model["inference_stats"][key]["ns"]
            assert int(values[f"nv_inference_{name}_duration_us{row}"]) == counted // 1000


@pytest.mark.usefixtures("told")
def test_a_reload_counts_on_as_in_the_reference(reference, ours, models):
    """A model whose file has changed is loaded anew: the page counts on, and the statistics begin at 0; an unload ends both."""
    source = models / "batched" / "1" / "model.py"
    source.write_text(source.read_text() + "\n")
    row = 'nv_inference_request_success{model="batched",version="1"}'
    for http_port, _, metrics_port in (reference, ours):
        change = partial(ask, http_port, document={"parameters": {}})
        assert change("/v2/repository/models/batched/load")[0] == 200
        (statistics,) = json.loads(ask(http_port, "/v2/models/batched/stats")[1])["model_stats"]
        assert statistics["inference_stats"]["success"]["count"] == 0
        assert read_page(metrics_port)[1][row] == "4"
        change("/v2/repository/models/batched/unload")
        wait_until(lambda port=metrics_port: row not in read_page(port)[1])
        assert change("/v2/repository/models/batched/load")[0] == 200
        assert read_page(metrics_port)[1][row] == "0"
        change("/v2/repository/models/batched/unload")


def test_no_row_outlives_its_model(reference, ours):
    """On purpose unlike the reference, where four rows of a model that failed to load, or was unloaded, stay for ever: nothing counts there."""
    for (http_port, _, metrics_port), left in ((reference, {"nv_inference_request_failure"}), (ours, set())):
        assert ask(http_port, "/v2/repository/models/broken/load", {"parameters": {}})[0] == 400
        rows = [row for row in read_page(metrics_port)[1] if 'model="broken"' in row]
        assert {row.partition("{")[0] for row in rows} == left

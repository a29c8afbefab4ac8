"""Under as many requests as there can be, each is counted once and each traced one is written once."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.request import urlopen

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia.trace_settings import TraceSetting

from benchmarks.process import free_port

TENSORS = {"inputs": [("INPUT0", "FP32", [2])], "outputs": [("OUTPUT0", "FP32", [2])]}
CALLERS = 4
CALLS = 1250
ALL = CALLERS * CALLS
IN_ONE_GO = 50
COUNTS = (
    *("nv_inference_request_success", "nv_inference_count", "charonia_request_duration_seconds_count"),
    *("charonia_queue_duration_seconds_count", "charonia_compute_duration_seconds_count", "charonia_batch_size_sum"),
)


@pytest.fixture
def repository(model_repository):
    """Give a model that executes request by request, and one that merges them."""
    write_model(model_repository, model_config("single", **TENSORS))
    merged = model_config("merged", **TENSORS)
    merged.dynamic_batching.max_queue_delay_microseconds = 200
    write_model(model_repository, merged)
    return model_repository


def call(server, model):
    """Have several threads call a model as fast as they can, each call by a name of its own."""

    def call_many(caller):
        infer = server.model(model).infer
        array = np.ones((1, 2), np.float32)
        for number in range(CALLS):
            infer({"INPUT0": array}, id=f"{caller}-{number}")

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(call_many, range(CALLERS)))


def post(port, model):
    """Have several connections post requests as fast as they can: many in one go, whose answers are awaited together."""

    def request(name):
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
        body = json.dumps({"id": name, "inputs": [tensor]}).encode()
        head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def post_many(caller):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            for start in range(0, CALLS, IN_ONE_GO):
                connection.sendall(b"".join(request(f"{caller}-{start + more}") for more in range(IN_ONE_GO)))
                answers = b""
                while answers.count(b'"OUTPUT0"') < IN_ONE_GO:
                    received = connection.recv(1 << 16)
                    assert received, answers[-300:]
                    answers += received
                assert answers.count(b"HTTP/1.1 200 ") == IN_ONE_GO

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(post_many, range(CALLERS)))


@contextmanager
def scraping(port, model):
    """Read the page again and again while the block lasts, and check that no count goes back."""
    ended = threading.Event()

    def scrape():
        before = dict.fromkeys(COUNTS, 0)
        scrapes = 0
        while not ended.is_set():
            now = counts_of(port, model)
            assert all(now[name] >= before[name] for name in COUNTS), (before, now)
            before = now
            scrapes += 1
        return scrapes

    with ThreadPoolExecutor(1) as scraper:
        scraped = scraper.submit(scrape)
        try:
            yield
        finally:
            ended.set()
        assert scraped.result(timeout=60) > 0


def counts_of(port, model):
    """Read the counts of a model from the page."""
    page = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    values = dict(re.findall(rf'^(\w+)\{{model="{model}",version="1"\}} (\S+)$', page, re.MULTILINE))
    return {name: int(values[name]) for name in COUNTS}


@pytest.mark.parametrize("model", ["single", "merged"])
@pytest.mark.parametrize("way", ["in process", "over HTTP"])
def test_every_request_is_counted(repository, model, way):
    """While the page is read all the time, every counter that stands for requests ends at their exact number."""
    metrics_port = free_port()
    settings = {"http-port": 0, "allow-grpc": False, "metrics-port": metrics_port}
    with (
        Server(
            repository, options=ServerOptions(transport="lean"), plugins=Plugins(extra=[ArithmeticPlugin()])
        ) as server,
        serve_in_thread(server, settings) as (url,),
    ):
        with scraping(metrics_port, model):
            if way == "in process":
                call(server, model)
            else:
                post(int(url.rpartition(":")[2]), model)
        told = counts_of(metrics_port, model)
        counters = server.statistics(model)[0].counters
    assert told == dict.fromkeys(COUNTS, ALL)
    assert sum(size * batch.compute_infer.count for size, batch in counters.batches.items()) == ALL
    assert sum(counters.batch_reasons.values()) == counters.execution_count
    assert (counters.pending, counters.in_flight, counters.fail.count) == (0, 0, 0)


@pytest.mark.parametrize("rate", [1, 100])
@pytest.mark.parametrize("way", ["in process", "over HTTP"])
def test_every_sampled_request_is_traced_once(repository, tmp_path, rate, way):
    """The file has as many traces as the rate asks for, each with all its moments, and none twice."""
    path = tmp_path / "trace.json"
    options = ServerOptions(transport="lean", trace=TraceSetting(("TIMESTAMPS",), rate=rate, file=str(path)))
    settings = {"http-port": 0, "allow-grpc": False, "allow-metrics": False}
    with (
        Server(repository, options=options, plugins=Plugins(extra=[ArithmeticPlugin()])) as server,
        serve_in_thread(server, settings) as (url,),
    ):
        if way == "in process":
            call(server, "single")
        else:
            post(int(url.rpartition(":")[2]), "single")
    records = json.loads(path.read_text())
    names = Counter(record["request_id"] for record in records if "request_id" in record)
    assert len(names) == names.total() == ALL // rate
    numbers = Counter(record["id"] for record in records if "timestamps" in record)
    ends = Counter(record["id"] for record in records if record.get("timestamps", [{}])[0].get("name") == "REQUEST_END")
    assert len(numbers) == len(ends) == ends.total() == ALL // rate
    assert len(set(numbers.values())) == 1


@pytest.mark.parametrize("way", ["in process", "over HTTP"])
def test_every_request_has_its_line(repository, caplog, way):
    """The access log names each request once, in the order in which each caller has made them."""
    options = ServerOptions(transport="lean", log_access=True)
    settings = {"http-port": 0, "allow-grpc": False, "allow-metrics": False}
    with (
        caplog.at_level(logging.INFO, "charonia.access"),
        Server(repository, options=options, plugins=Plugins(extra=[ArithmeticPlugin()])) as server,
        serve_in_thread(server, settings) as (url,),
    ):
        if way == "in process":
            call(server, "single")
        else:
            post(int(url.rpartition(":")[2]), "single")
    names = [record.request_id for record in caplog.records if record.name == "charonia.access"]
    assert len(names) == ALL
    for caller in range(CALLERS):
        assert [name for name in names if name.startswith(f"{caller}-")] == [f"{caller}-{n}" for n in range(CALLS)]

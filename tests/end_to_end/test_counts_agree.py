"""Whoever asks what a server has done is told the same: over HTTP, over gRPC, in process, and by the metrics."""

from __future__ import annotations

import json
import re
import threading
from urllib.request import urlopen

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from charonia import Server, ServerOptions
from charonia.errors import InferenceError
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate

from benchmarks.process import free_port

TENSORS = {"inputs": [("INPUT0", "FP32", [2])], "outputs": [("OUTPUT0", "FP32", [2])]}
DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
COUNTERS = {
    "nv_inference_request_success": lambda told: told["inference_stats"]["success"]["count"],
    "nv_inference_count": lambda told: told["inference_count"],
    "nv_inference_exec_count": lambda told: told["execution_count"],
    "nv_inference_request_duration_us": lambda told: told["inference_stats"]["success"]["ns"] // 1000,
    "nv_inference_queue_duration_us": lambda told: told["inference_stats"]["queue"]["ns"] // 1000,
    "nv_inference_compute_input_duration_us": lambda told: told["inference_stats"]["compute_input"]["ns"] // 1000,
    "nv_inference_compute_output_duration_us": lambda told: told["inference_stats"]["compute_output"]["ns"] // 1000,
    "charonia_queue_duration_seconds_count": lambda told: told["inference_stats"]["queue"]["count"],
    "charonia_compute_duration_seconds_count": lambda told: told["inference_stats"]["compute_infer"]["count"],
    "nv_inference_compute_infer_duration_us": lambda told: told["inference_stats"]["compute_infer"]["ns"] // 1000,
    "charonia_request_duration_seconds_count": lambda told: told["inference_stats"]["success"]["count"],
    "charonia_batch_size_count": lambda told: told["execution_count"],
}


def rows(count):
    """Make an input of so many rows, each another one."""
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2) + 100


@pytest.fixture
def repository(model_repository):
    """Give models that batch, fail, wait, keep responses, answer several times, take sequences, and an ensemble."""
    batched = model_config("batched", **TENSORS)
    batched.dynamic_batching.max_queue_delay_microseconds = 1000
    cached = model_config("cached", **TENSORS)
    cached.response_cache.enable = True
    sequence = model_config("sequence", **TENSORS)
    sequence.sequence_batching.max_sequence_idle_microseconds = 60_000_000
    for config in (
        batched,
        cached,
        sequence,
        model_config("plain", **TENSORS, parameters={"fail_on": "7"}),
        model_config("gated", **TENSORS, parameters={"gate": "counts"}),
        model_config("decoupled", **TENSORS, max_batch_size=0, decoupled=True),
    ):
        write_model(model_repository, config)
    ensemble = model_config("ensemble", backend="", **TENSORS)
    ensemble.platform = "ensemble"
    step = ensemble.ensemble_scheduling.step.add(model_name="plain", model_version=-1)
    step.input_map["INPUT0"] = "INPUT0"
    step.output_map["OUTPUT0"] = "OUTPUT0"
    write_model(model_repository, ensemble)
    return model_repository


def send_in_process(server):
    """Send what only this process can: a failure, cancellations, many responses, and many callers at once."""
    with pytest.raises(InferenceError):
        server.model("plain").infer({"INPUT0": np.full((1, 2), 7, np.float32)})
    with Gate("counts") as gate:
        done = [threading.Event() for _ in range(3)]
        executing, waiting, last = (
            InferenceRequest("gated", {"INPUT0": rows(1)}, lambda _, event=event: event.set()) for event in done
        )
        server.submit(executing)
        gate.wait_entered()
        server.submit(waiting)
        server.submit(last)
        executing.cancel()
        waiting.cancel()
        gate.open()
        assert all(event.wait(60) for event in done)
    assert len(list(server.model("decoupled").stream({"INPUT0": np.array([3, 0], np.float32)}))) >= 3
    callers = [
        threading.Thread(target=server.model("batched").infer, args=({"INPUT0": rows(1)},), daemon=True)
        for _ in range(8)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


def send_by_client(client, kit):
    """Send the same over a protocol: requests of one and of several rows, the same twice, and one of an ensemble."""
    for name, count in (("plain", 1), ("plain", 3), ("cached", 2), ("cached", 2), ("ensemble", 2)):
        tensor = kit.InferInput("INPUT0", [count, 2], "FP32")
        tensor.set_data_from_numpy(rows(count))
        client.infer(name, [tensor])
    for flags in ({"sequence_start": True}, {}, {"sequence_end": True}):
        tensor = kit.InferInput("INPUT0", [1, 2], "FP32")
        tensor.set_data_from_numpy(rows(1))
        client.infer("sequence", [tensor], sequence_id=5, **flags)


def in_process(counters):
    """Write counters as the protocol does."""
    durations = {name: getattr(counters, name) for name in DURATIONS}
    return {
        "inference_count": counters.inference_count,
        "execution_count": counters.execution_count,
        "inference_stats": {name: {"count": told.count, "ns": told.ns} for name, told in durations.items()},
    }


def over_http(told):
    """Leave out what the others have in another form."""
    return {name: told[name] for name in ("inference_count", "execution_count", "inference_stats")}


def over_grpc(told):
    """Write the messages as the protocol's JSON does."""
    durations = {name: getattr(told.inference_stats, name) for name in DURATIONS}
    return {
        "inference_count": told.inference_count,
        "execution_count": told.execution_count,
        "inference_stats": {name: {"count": it.count, "ns": it.ns} for name, it in durations.items()},
    }


def test_every_teller_tells_the_same(repository):
    """After requests that went well, were merged, failed, were cancelled, cached, composed, ordered and answered many times."""
    port = free_port()
    settings = {"http-port": 0, "grpc-port": 0, "metrics-port": port}
    options = ServerOptions(cache_config={"local": {"size": "100000"}})
    with (
        Server(repository, options=options, plugins=Plugins(extra=[ArithmeticPlugin()])) as server,
        serve_in_thread(server, settings) as urls,
    ):
        places = dict(url.split("://") for url in urls)
        by_http = tritonclient.http.InferenceServerClient(places["http"])
        by_grpc = tritonclient.grpc.InferenceServerClient(places["grpc"])
        with by_http, by_grpc:
            send_in_process(server)
            send_by_client(by_http, tritonclient.http)
            send_by_client(by_grpc, tritonclient.grpc)
            here = {told.name: in_process(told.counters) for told in server.statistics()}
            http = json.loads(urlopen(f"http://{places['http']}/v2/models/stats").read())["model_stats"]
            grpc = by_grpc.get_inference_statistics().model_stats
            page = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert {told["name"]: over_http(told) for told in http} == here
    assert {told.name: over_grpc(told) for told in grpc} == here
    values = dict(re.findall(r"^([^#\s]\S*) (\S+)$", page, re.MULTILINE))
    for model, told in here.items():
        for name, counted in COUNTERS.items():
            assert float(values[f'{name}{{model="{model}",version="1"}}']) == counted(told), (model, name)
        failures = [
            float(value)
            for row, value in values.items()
            if row.startswith(f'nv_inference_request_failure{{model="{model}"')
        ]
        assert sum(failures) == told["inference_stats"]["fail"]["count"]
    counts = {
        model: {name: it["count"] for name, it in told["inference_stats"].items()} for model, told in here.items()
    }
    assert (counts["plain"]["success"], counts["plain"]["fail"]) == (6, 1)
    assert here["plain"]["inference_count"] == 12
    assert (counts["gated"]["success"], counts["gated"]["fail"], counts["gated"]["compute_infer"]) == (1, 2, 1)
    assert (counts["sequence"]["success"], here["sequence"]["execution_count"]) == (6, 6)
    assert (counts["cached"]["cache_hit"], counts["cached"]["cache_miss"]) == (3, 1)
    assert (counts["ensemble"]["success"], counts["decoupled"]["success"], counts["batched"]["success"]) == (2, 1, 8)
    assert here["batched"]["inference_count"] == 8
    assert values['nv_inference_request_failure{model="gated",reason="CANCELED",version="1"}'] == "2"
    assert values['nv_inference_request_failure{model="plain",reason="BACKEND",version="1"}'] == "1"

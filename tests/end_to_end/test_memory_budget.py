"""A server with more models than fit into its memory budget, as clients of both protocols see it."""

from __future__ import annotations

import json
import queue
import random
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from asking import Served, addresses_of, frontends
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from tritonclient.utils import InferenceServerException

SIZE = 1 << 26
"""What each model's files say that it takes: so much that nothing else that the process takes matters."""

NAMES = [f"net{place}" for place in range(40)]


@pytest.fixture
def addresses(tmp_path, save_identity):
    """Serve forty nets of ONNX without a configuration, and room for eight, or seven and a pinned one."""
    for name in NAMES:
        save_identity(tmp_path, name)
        with (tmp_path / name / "1" / "weights").open("wb") as file:
            file.truncate(SIZE)
    (tmp_path / "net7" / "config.pbtxt").write_text('parameters { key: "pinned" value { string_value: "1" } }')
    with Server(tmp_path, options=ServerOptions(memory_budget=SIZE * 17 // 2)) as server, frontends(server) as urls:
        yield server, addresses_of(urls)


def in_memory(address):
    """The models that are in memory and the bytes of each, as the index tells over HTTP."""
    index = json.load(urllib.request.urlopen(urllib.request.Request(f"http://{address}/v2/repository/index", b"{}")))
    assert {row["state"] for row in index} == {"READY"}
    return {row["name"]: row["host_byte_size"] for row in index if "host_byte_size" in row}


def test_models_come_and_go_behind_both_protocols(addresses):
    """All are ready and can be described from the start; whatever is asked is answered, with never more than the budget."""
    server, places = addresses
    assert set(in_memory(places["http"])) == {"net7"}
    for kind in (tritonclient.http, tritonclient.grpc):
        with kind.InferenceServerClient(places["http" if kind is tritonclient.http else "grpc"]) as client:
            assert client.is_model_ready("net0")
            assert client.get_model_metadata("net0")
            assert client.get_model_config("net0")

    def client(seed):
        choose = random.Random(seed)
        served = Served(server, ("http", "grpc")[seed % 2], places)
        for name in choose.choices(NAMES, [1 / (rank + 1) for rank in range(40)], k=40):
            rows = np.full((1, 3), seed, np.float32)
            assert served.ask(name, {"X": rows})["Y"].tolist() == rows.tolist()
            there = in_memory(places["http"])
            assert len(there) <= 8
            assert "net7" in there

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(client, seed) for seed in range(4)]:
            done.result(120)
    there = in_memory(places["http"])
    with (
        tritonclient.http.InferenceServerClient(places["http"]) as http,
        tritonclient.grpc.InferenceServerClient(places["grpc"]) as grpc,
    ):
        by_http = http.get_inference_statistics()["model_stats"]
        by_grpc = grpc.get_inference_statistics().model_stats
    assert {row["name"]: row["memory_usage"][0]["byte_size"] for row in by_http if row["memory_usage"]} == there
    assert {row.name: row.memory_usage[0].byte_size for row in by_grpc if row.memory_usage} == there
    assert sum(row["inference_count"] for row in by_http) == 160


def test_who_finds_no_room_is_told_when_to_ask_again(tmp_path):
    """HTTP says it by the status 503, gRPC by UNAVAILABLE; the text names what takes the room."""
    for name in ("busy", "other"):
        directory = write_model(tmp_path, model_config(name, parameters={"gate": name}))
        with (directory / "1" / "weights").open("wb") as file:
            file.truncate(SIZE)
    answers = queue.SimpleQueue()
    rows = np.zeros((1, 16), np.float32)
    options = ServerOptions(memory_budget=SIZE * 3 // 2, memory_wait_secs=0.01)
    with (
        Server(tmp_path, options=options, plugins=Plugins(extra=[ArithmeticPlugin()])) as server,
        frontends(server) as urls,
        Gate("busy") as gate,
    ):
        server.submit(InferenceRequest("busy", {"INPUT0": rows}, answers.put))
        gate.wait_entered()
        for way, status in (("http", "503"), ("grpc", "StatusCode.UNAVAILABLE")):
            with pytest.raises(
                InferenceServerException, match="is in use or pinned: model 'busy' version 1"
            ) as refusal:
                Served(server, way, addresses_of(urls)).ask("other", {"INPUT0": rows})
            assert refusal.value.status() == status
        gate.open()
        assert answers.get(timeout=60).error is None
        Served(server, "http", addresses_of(urls)).ask("other", {"INPUT0": rows})

"""After the same requests, the files of traces tell the same of both servers."""

from __future__ import annotations

import http.client
import json
from itertools import chain
from pathlib import Path

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from charonia.trace_settings import TraceSetting
from recordings import MODELS

from benchmarks.process import free_port

SERVED = ("add_sub", "alltypes", "cached", "ens", "fail")
CACHE_SIZE = "1048576"
WRITTEN = {
    "BOOL": [True, False],
    "INT16": [-5, 300],
    "UINT64": [2**64 - 1],
    "FP64": [1.5, 1e-300, 123456789.123],
    "BYTES": ["a,b", "", "\u00e9"],
}
"""Elements by their datatypes: those of which the reference's file can be read."""


@pytest.fixture
def reference(run_reference, tmp_path):
    """Give what the reference writes."""
    port = free_port()
    flags = [
        f"--model-repository={MODELS}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in SERVED),
        f"--cache-config=local,size={CACHE_SIZE}",
        f"--trace-config=triton,file={tmp_path / 'reference.json'}",
        "--trace-config=triton,log-frequency=1",
        "--trace-config=rate=1",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=level=TENSORS",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--exit-timeout-secs=1",
    ]
    with run_reference(port, *flags):
        count = send_traffic(port)
    return read_traces(tmp_path / "reference.json", count)


@pytest.fixture
def ours(tmp_path):
    """Give what this server writes."""
    setting = TraceSetting(level=("TIMESTAMPS", "TENSORS"), rate=1, log_frequency=1, file=str(tmp_path / "ours.json"))
    options = ServerOptions(
        model_control_mode="explicit",
        load_model=SERVED,
        cache_config={"local": {"size": CACHE_SIZE}},
        trace=setting,
    )
    settings = {"http-port": 0, "allow-grpc": False, "allow-metrics": False}
    with Server(MODELS, options=options) as server, serve_in_thread(server, settings) as (url,):
        count = send_traffic(int(url.rpartition(":")[2]))
    return read_traces(tmp_path / "ours.json", count)


def send_traffic(port):
    """Send requests that go well, that are cached, that an ensemble answers, that fail, and of many datatypes; gives how many there were."""
    requests = (
        ("add_sub", "r1", [tensor(name, "FP32", [[1, 2, 3.5, 4]]) for name in ("INPUT0", "INPUT1")]),
        ("ens", "r2", [tensor(name, "FP32", [[1, 2, 3, 4]] * 2) for name in ("A", "B")]),
        ("cached", "r3", [tensor("X", "FP32", [[1, 2]])]),
        ("cached", "r4", [tensor("X", "FP32", [[1, 2]])]),
        ("fail", "", [{"name": "MODE", "datatype": "INT32", "shape": [1], "data": [9]}]),
        ("alltypes", "r5", [row(f"IN_{datatype}", datatype, values) for datatype, values in WRITTEN.items()]),
    )
    for model, name, inputs in requests:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"id": name, "inputs": inputs}))
        connection.getresponse().read()
        connection.close()
    return len(requests)


def tensor(name, datatype, values):
    """Write an input."""
    return {"name": name, "datatype": datatype, "shape": [len(values), len(values[0])], "data": [*chain(*values)]}


def row(name, datatype, values):
    """Write an input of one dimension."""
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}


def read_traces(path, count):
    """Give the records of each trace without its times: their kinds, sorted, since some come from threads side by side.

    Records that the reference writes twice are there once.
    """
    records = [record for index in range(count) for record in json.loads(Path(f"{path}.{index}").read_text())]
    traces = {}
    for record in records:
        times = [moment.pop("ns") for moment in record.get("timestamps", ())]
        assert all(isinstance(ns, int) for ns in times)
        traces.setdefault(record["id"], set()).add(json.dumps(record, sort_keys=True))
    return {number: sorted(kinds) for number, kinds in traces.items()}


def test_the_traces_are_the_references(reference, ours):
    """Each request has the same records: models, ids, parents, moments and tensors."""
    assert ours == reference

"""Triton's own load generator against this server: it finds all that it asks for, and every answer is the right one."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread

from benchmarks.models import INPUT, MODELS, OUTPUT, write_onnx_repository
from benchmarks.tools.download import UnavailableError
from benchmarks.tools.perf_analyzer import install_perf_analyzer

PATIENCE = 60
SHORT = ["--measurement-interval=200", "--max-trials=3", "--stability-percentage=99999"]
COMPLAINT = re.compile("error|fail|warn|unable|invalid|abort", re.IGNORECASE)
PACE = re.compile(".*(was not able to keep up|is not stabilizing).*")
"""What it says of a machine that is busy with other things, which is no complaint about the server."""

SUMS = """
backend: "python"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "SUM" data_type: TYPE_INT32 dims: [ 1 ] } ]
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] } ]
  state [ { input_name: "BEFORE" output_name: "SUM" data_type: TYPE_INT32 dims: [ 1 ] } ]
}
"""
SUMS_CODE = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.add(request) for request in requests]

    def add(self, request):
        x, before = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("X", "BEFORE"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("SUM", x + before)])
"""
"""A model whose answer is the sum of its sequence's inputs so far."""

IN_TURN = ["--sync"]
"""Else it ends its last sequences over connections of their own while it waits for answers, and an end may overtake a start."""

ROWS = [[float(number) for number in range(16)], [-0.5] * 16]


@pytest.fixture(scope="module")
def command():
    """Give the command that runs perf_analyzer, or tell what this machine lacks for it."""
    try:
        return install_perf_analyzer()
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    """Serve the benchmark's models over both protocols."""
    repository = write_onnx_repository(tmp_path_factory.mktemp("models"))
    (repository / "sums" / "1").mkdir(parents=True)
    (repository / "sums" / "config.pbtxt").write_text(SUMS)
    (repository / "sums" / "1" / "model.py").write_text(SUMS_CODE)
    options = ServerOptions(allow_client_shm=True)
    with (
        Server(repository, options=options) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as urls,
    ):
        for ends in (False, True):  # the server's clock begins with the first sequence, and goes on after the test
            server.model("sums").infer({"X": [[1]]}, sequence_id=1, sequence_start=not ends, sequence_end=ends)
        yield dict(url.split("://") for url in urls)


@pytest.fixture
def load(command, urls, tmp_path):
    """Run perf_analyzer, expect that it has nothing to complain about, and give the requests that it has recorded."""

    def run(protocol, *flags, model="identity"):
        records = tmp_path / "records.json"
        words = ["-m", model, "-i", protocol, "-u", urls[protocol], *flags, *SHORT]
        done = subprocess.run(
            [*command, *words, f"--profile-export-file={records}"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        assert not COMPLAINT.search(PACE.sub("", done.stdout)), done.stdout
        (counted,) = re.findall(r"Successful request count: (\d+)", done.stdout)  # the server's own figure
        assert int(counted) > 0
        (experiment,) = json.loads(records.read_bytes())["experiments"]
        return experiment["requests"]

    return run


@pytest.mark.parametrize(
    ("protocol", "flags"),
    [
        pytest.param("http", ["--concurrency-range=4"], id="http"),
        pytest.param("http", ["--concurrency-range=4", "--async"], id="http-asynchronous"),
        pytest.param(
            "http",
            ["--concurrency-range=2", "--input-tensor-format=json", "--output-tensor-format=json"],
            id="http-JSON",
        ),
        pytest.param("http", ["--request-rate-range=200"], id="http-at-a-rate"),
        pytest.param("grpc", ["--concurrency-range=4"], id="grpc"),
        pytest.param("grpc", ["--concurrency-range=4", "--async"], id="grpc-asynchronous"),
        pytest.param("grpc", ["--concurrency-range=4", "--grpc-compression-algorithm=gzip"], id="grpc-gzip"),
        pytest.param("grpc", ["--concurrency-range=4", "--streaming"], id="grpc-stream"),
        pytest.param("grpc", ["--request-rate-range=200", "--streaming"], id="grpc-stream-at-a-rate"),
    ],
)
def test_a_load_of_given_rows_is_answered_row_by_row(load, tmp_path, protocol, flags):
    """With --input-data, each request has one of the rows, and its answer the same one, however requests are sent."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [{INPUT: row} for row in ROWS]}))
    requests = load(protocol, *flags, f"--input-data={data}")
    rows = [request["request_inputs"][INPUT] for request in requests]
    assert [row for row in ROWS if row in rows] == ROWS
    assert all(row in ROWS for row in rows)
    assert [[answer[OUTPUT] for answer in request["response_outputs"]] for request in requests] == [
        [row] for row in rows
    ]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_batches_are_answered_whole(load, protocol):
    """Requests of several rows, random ones, are answered with as many."""
    requests = load(protocol, "-b", "4")
    assert requests
    assert all(
        len(answer[OUTPUT]) == 4 * MODELS["identity"].outputs
        for request in requests
        for answer in request["response_outputs"]
    )


@pytest.mark.parametrize(
    ("protocol", "flags"),
    [
        pytest.param("http", [], id="http"),
        pytest.param("grpc", [], id="grpc"),
        pytest.param("grpc", ["--streaming"], id="grpc-stream"),
    ],
)
def test_tensors_in_shared_memory(load, urls, protocol, flags):
    """With regions for inputs and outputs, requests are answered as well, and no region stays registered."""
    assert load(protocol, "--concurrency-range=4", "--shared-memory=system", *flags)
    with urllib.request.urlopen(f"http://{urls['http']}/v2/systemsharedmemory/status") as response:
        assert json.load(response) == []


@pytest.mark.parametrize(
    ("protocol", "flags"),
    [
        pytest.param("http", IN_TURN, id="http"),
        pytest.param("grpc", IN_TURN, id="grpc"),
        pytest.param("grpc", ["--streaming"], id="grpc-stream"),
    ],
)
def test_sequences(load, tmp_path, protocol, flags):
    """More sequences at once than the model has slots are each answered with their own sums, from one on."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [[{"X": [1]}] * 5] * 8}))
    requests = load(protocol, "--concurrency-range=6", f"--input-data={data}", *flags, model="sums")
    sums = [answer["SUM"] for request in requests for answer in request["response_outputs"]]
    assert set(sums) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("protocol", "flags"),
    [
        pytest.param("http", IN_TURN, id="http"),
        pytest.param("grpc", IN_TURN, id="grpc"),
        pytest.param("grpc", ["--streaming"], id="grpc-stream"),
    ],
)
def test_sequences_in_shared_memory(load, tmp_path, protocol, flags):
    """Sequences whose tensors lie in regions are answered, too."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [[{"X": [1]}] * 5] * 8}))
    assert load(
        protocol, "--concurrency-range=6", "--shared-memory=system", f"--input-data={data}", *flags, model="sums"
    )

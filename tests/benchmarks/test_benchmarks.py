"""The benchmark runs, and computes what it says. How fast anything is has no place here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import psutil
import pytest

from benchmarks.cpu_clock import CpuClock
from benchmarks.generators import OwnGenerator, PerfAnalyzer
from benchmarks.latency import LoadError, summarise
from benchmarks.measure import Figures, Point, Workload, medians
from benchmarks.models import INPUT, MODELS, OUTPUT, write_onnx_repository, write_reference_repository
from benchmarks.process import ServerError, ServerProcess, free_port
from benchmarks.report import Report, cpu_over_bare_us, document, ratio, tables
from benchmarks.sides import BARE, CHARONIA, REFERENCE, SIDES
from benchmarks.tools.download import UnavailableError
from benchmarks.tools.reference_server import install_reference
from benchmarks.ways import WAYS

HOUSE = Path(__file__).parents[2]
MARK = "BENCHMARK_UNDER_TEST"


def run_benchmark(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the whole benchmark as `make bench` does."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=HOUSE,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)  # half a minute, and many more on a machine that is busy
def test_a_quick_run_measures_every_side_that_it_was_asked_for(tmp_path):
    """It ends with tables, a document with each point's figures and ratios, and a picture; and no server is left."""
    words = ["--sides=charonia,bare", "--models=identity,mlp", "--concurrency=1,4", f"--results={tmp_path}"]
    words.append("--ways=http,grpc,grpc-stream,grpc-shm")
    run = run_benchmark("--quick", *words, **{MARK: str(tmp_path)})
    assert run.returncode == 0, run.stderr
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text())
    assert {(row["way"], row["model"], row["concurrency"], row["side"]) for row in found["served"]} == {
        (way, model, concurrency, side)
        for way in ("http", "grpc", "grpc-stream")
        for model in ("identity", "mlp")
        for concurrency in (1, 4)
        for side in (CHARONIA, BARE)
    }
    for row in found["served"]:
        assert row["requests_per_second"] > 0
        assert 0 < row["p50_us"] <= row["p99_us"]
        assert row["cpu_us"] >= 0
        assert len(row["rounds"]) == 1
    assert all(row["to_bare"] > 0 and row["to_reference"] is None for row in found["ratios"])
    assert all(isinstance(row["cpu_over_bare_us"], float) for row in found["ratios"])
    assert found["left_out"] == {"grpc-shm": "the load generator 'own' does not know it; perf_analyzer does"}
    assert [row["model"] for row in found["in_process"]] == ["identity", "mlp"]
    traces = [f"{what} of {which}" for what in ("traces", "spans") for which in ("1 in 100", "all")]
    assert [(cost["what"], cost["way"]) for cost in found["observing"]] == [
        (what, way) for what in ("access log", *traces) for way in ("http", "grpc")
    ]
    for cost in found["observing"]:
        assert cost["pairs"] == (4 if cost["what"].endswith("1 in 100") else 1)
        assert cost["cpu_us"] > 0
        assert cost["more_writing"] >= 0
        assert cost["more_cpu"]["percent"] == cost["more_answering"] + cost["more_writing"]
        assert all(
            cost[more]["low"] <= cost[more]["percent"] <= cost[more]["high"] for more in ("more_cpu", "more_time")
        )
    assert "| watched by " in run.stdout
    assert [(cost["way"], cost["servers"]) for cost in found["off"]] == [("http", 1), ("grpc", 1)]
    assert all(cost["cpu_us"] > 0 for cost in found["off"])
    assert "| traces that are off " in run.stdout
    assert found["page"]["models"] == 200
    assert all(found["scraping"][figure] > 0 for figure in ("off_us", "on_us"))
    assert all(found["ensemble"][figure] > 0 for figure in ("one_us", "both_us", "ensemble_us"))
    assert "identity, identity" in run.stdout
    assert [(row["model"], row["clients"]) for row in found["batching"]] == [
        ("mlp", 1),
        ("mlp", 4),
        ("cnn", 1),
        ("cnn", 4),
    ]
    assert all(row["gain"] > 0 for row in found["batching"])
    assert all(row["enqueue_us"] > 0 and row["batch_us"] > 0 for row in found["decisions"])
    assert [row["requests"] for row in found["generation"]] == [1, 4]
    assert all(row["turn_us"] >= row["part_us"] > 0 for row in found["generation"])
    places = {"local", "S3, no copies here", "S3, copies here"}
    assert {(row["place"], row["models"]) for row in found["starts"]} == {(it, n) for it in places for n in (1, 2)}
    assert [(row["loads"], row["lost"]) for row in found["load_gaps"]] == [(4, 0)] * 2
    assert all(row["requests"] > 0 for row in found["load_gaps"])
    assert "| dynamic batching in process |" in run.stdout
    assert found["generator"] == "own"
    assert path.with_suffix(".svg").read_text().startswith("<?xml")
    assert "| grpc-stream | identity |" in run.stdout
    assert not processes_with(MARK, str(tmp_path))


def processes_with(variable: str, value: str) -> list[psutil.Process]:
    """Find the processes whose environment has a variable with a value."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value:
                found.append(process)
        except psutil.Error:
            continue  # it ended meanwhile, or is somebody else's
    return found


@pytest.mark.timeout(600)  # half a minute, and many more on a machine that is busy
def test_a_side_that_cannot_be_had_is_left_out_with_the_reason(tmp_path):
    """Without Python 3.11 on the path, and nothing in the cache, the reference is missing, and the rest is measured."""
    words = ["--sides=reference,bare", "--models=identity", "--concurrency=1", f"--results={tmp_path / 'results'}"]
    words.append("--ways=http")
    run = run_benchmark("--quick", *words, XDG_CACHE_HOME=str(tmp_path / "cache"), PATH=str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert "reference was left out: the reference server" in run.stdout
    (path,) = (tmp_path / "results").glob("*.json")
    found = json.loads(path.read_text())
    assert list(found["left_out"]) == [REFERENCE]
    assert {row["side"] for row in found["served"]} == {BARE}


def test_unknown_names_are_refused():
    """A side that does not exist is named together with those that do."""
    run = run_benchmark("--sides=triton")
    assert run.returncode == 2
    assert f"'triton' is none of {', '.join(SIDES)}" in run.stderr


def test_the_first_tenth_of_a_load_is_not_counted():
    """Slow first requests change neither mean nor percentiles nor the number; the time that counts begins after them."""
    starts = [0, *range(100, 1100, 10)]
    ends = [100, *(start + 10 for start in starts[1:])]
    load = summarise([start * 1000 for start in starts], [end * 1000 for end in ends])
    assert (load.begin_ns, load.end_ns) == (110_000, 1_100_000)
    assert load.requests == 100
    assert (load.mean_us, load.p50_us, load.p99_us) == (10, 10, 10)


def test_the_cpu_clock_tells_the_time_used_in_a_part_of_a_run():
    """A clock that advances evenly gives each part its share."""
    begin_ns = time.time_ns()
    with CpuClock(lambda: (time.time_ns() - begin_ns) / 1e9) as clock:
        middle_ns = time.time_ns()
    end_ns = time.time_ns()
    first, second = clock.seconds_between(begin_ns, middle_ns), clock.seconds_between(middle_ns, end_ns)
    assert first + second == pytest.approx(clock.seconds_between(begin_ns, end_ns))
    assert first >= 0
    assert second > 0
    assert "cpu-clock" not in {thread.name for thread in threading.enumerate()}


def test_a_load_without_requests_is_an_error():
    """Nothing measured is told as such."""
    with pytest.raises(LoadError, match="no request was answered"):
        summarise([], [])


def test_a_refused_request_ends_the_load():
    """An answer other than 200 is told with what the server said."""
    port = free_port()
    program = f"from aiohttp import web; web.run_app(web.Application(), host='127.0.0.1', port={port})"
    server = ServerProcess("empty", [sys.executable, "-u", "-c", program], port, "Running on")
    try:
        with pytest.raises(LoadError, match=r"the server answered b'HTTP/1\.1 404"):
            OwnGenerator().run(WAYS["http"], port, "identity", 2, 0.1)
    finally:
        server.stop()


def test_medians_and_ratios():
    """Each figure has its own median; a ratio to a side that was left out does not exist."""
    ours, other = Point("grpc", "identity", 16, CHARONIA), Point("grpc", "identity", 16, BARE)
    figures = medians(
        {
            ours: [Figures(10, 5, 9, 1), Figures(30, 1, 7, 3), Figures(20, 3, 8, 2)],
            other: [Figures(40, 1, 1, 1)],
        }
    )
    assert figures[ours] == Figures(20, 3, 8, 2)
    assert ratio(figures, ours, BARE) == 0.5
    assert ratio(figures, ours, REFERENCE) is None


def test_the_share_above_the_bare_handler_is_of_the_same_round():
    """A machine that was slow in a round was so for both: the differences are taken within rounds, and their median told."""
    ours, other = Point("grpc", "identity", 16, CHARONIA), Point("grpc", "identity", 16, BARE)
    rounds = {
        ours: [Figures(1, 1, 1, 300), Figures(1, 1, 1, 900), Figures(1, 1, 1, 305)],
        other: [Figures(1, 1, 1, 250), Figures(1, 1, 1, 840), Figures(1, 1, 1, 230)],
    }
    assert cpu_over_bare_us(rounds, ours) == 60
    assert cpu_over_bare_us({ours: rounds[ours]}, ours) is None


def test_a_report_without_charonia_has_no_ratios():
    """The document is complete for whatever sides there are."""
    workload = Workload([WAYS["http"]], ["identity"], [1], 1, 1)
    rounds = {Point("http", "identity", 1, BARE): [Figures(1, 1, 1, 1)]}
    report = Report(workload, "own", rounds, [], {"reference": "no network"})
    assert document(report)["ratios"] == []
    assert "reference was left out: no network" in tables(report)


def test_a_server_that_ends_early_is_told_with_its_output():
    """What it wrote is in the error."""
    with pytest.raises(ServerError, match="broken did not start; it wrote:\nno such luck"):
        ServerProcess("broken", [sys.executable, "-c", "print('no such luck')"], free_port(), "ready")


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_both_repositories_compute_the_same(model, tmp_path):
    """The numpy of the reference's Python model gives what ONNX Runtime gives."""
    import onnxruntime

    onnx_file = write_onnx_repository(tmp_path / "onnx") / model.name / "1" / "model.onnx"
    python_file = write_reference_repository(tmp_path / "python") / model.name / "1" / "model.py"
    rows = model.row()
    if model.datatype == "FP32":
        rows = np.random.default_rng(0).standard_normal((3, model.inputs), dtype=np.float32)
    (expected,) = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"]).run(
        [OUTPUT], {INPUT: rows if model.datatype == "FP32" else model.text_row()}
    )
    answer = python_answer(python_file, rows)
    if model.datatype == "FP32":
        assert answer == pytest.approx(expected, rel=1e-4, abs=1e-5)
    else:
        assert [text.decode() for text in answer[0]] == expected[0].tolist()


def python_answer(path: Path, rows: np.ndarray) -> np.ndarray:
    """Run a Python model on rows, with the least of the reference's interface."""

    class Tensor:
        def __init__(self, name, array):
            self.array = array

        def as_numpy(self):
            return self.array

    interface = SimpleNamespace(
        Tensor=Tensor,
        get_input_tensor_by_name=lambda request, name: Tensor(name, request[name]),
        InferenceResponse=lambda tensors: tensors,
    )
    names = {"__file__": str(path)}
    with mock.patch.dict(sys.modules, {"triton_python_backend_utils": interface}):
        exec(compile(path.read_text(), path, "exec"), names)
    model = names["TritonPythonModel"]()
    if hasattr(model, "initialize"):
        model.initialize({})
    ((answer,),) = model.execute([{INPUT: rows}])
    return answer.array


def test_perf_analyzer_is_told_the_time_and_its_records_are_read(tmp_path):
    """Three windows fill the time asked for, and the figures come from the records, whatever it prints."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys\n"
        "words = sys.argv[1:]\n"
        "value = lambda flag: words[words.index(flag) + 1]\n"
        "count = int(value('--measurement-interval')) * int(value('--max-trials'))\n"
        "times = [{'timestamp': n * 1000, 'response_timestamps': [n * 1000 + 500]} for n in range(count)]\n"
        "open(value('--profile-export-file'), 'w').write(json.dumps({'experiments': [{'requests': times}]}))\n"
    )
    load = PerfAnalyzer([sys.executable, str(program)]).run(WAYS["http"], 1, "identity", 2, 0.9)
    assert load.requests == 810
    assert load.mean_us == 0.5


def test_the_reference_needs_linux_on_x86(monkeypatch):
    """Elsewhere it is told that there is none."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(UnavailableError, match="Linux on x86_64 only, and this is Linux on aarch64"):
        install_reference()

"""Traces: which requests have one, and what the file tells of them."""

from __future__ import annotations

import json
import queue
import time
from contextlib import nullcontext
from typing import ClassVar

import numpy as np
import pytest
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import InferenceError, UnavailableError
from charonia.hookspecs import hookimpl
from charonia.options import ServerOptions
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticExecution, ArithmeticPlugin, Gate
from charonia.trace_settings import TraceSetting
from charonia.trace_writer import TraceWriter

INPUT = {"INPUT0": np.arange(2, dtype=np.float32).reshape(1, 2)}


@pytest.fixture
def traced(server, model_repository, tmp_path):
    """Start a server that traces as told, with the models "m" and "other"; gives it and the path of its file."""
    for name in ("m", "other"):
        tensors = {"inputs": [("INPUT0", "FP32", [2])], "outputs": [("OUTPUT0", "FP32", [2])]}
        write_model(model_repository, model_config(name, **tensors, parameters={"fail_on": "7", "scale": "1.5"}))

    def start(*level, rate=1, **setting):
        path = tmp_path / "trace.json"
        options = ServerOptions(trace=TraceSetting(level=level, rate=rate, file=str(path), **setting))
        plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
        return server(model_repository, options=options, plugins=plugins), path

    return start


def records_of(path):
    """Read a file of traces."""
    return json.loads(path.read_text())


def times_of(records, number):
    """Give the moments of a trace in the order in which they are written."""
    return [
        (moment["name"], moment["ns"])
        for record in records
        if record["id"] == number
        for moment in record.get("timestamps", ())
    ]


def test_times_are_written_as_the_reference_writes_them(traced):
    """A trace has the model, the request's id and eight moments, which ascend from the start over the phases to the end."""
    running, path = traced("TIMESTAMPS")
    running.model("m").infer(INPUT, id="r1")
    running.close()
    records = records_of(path)
    assert records[0] == {"id": 1, "model_name": "m", "model_version": 1, "request_id": "r1"}
    assert all(set(record) == {"id", "timestamps"} and len(record["timestamps"]) == 1 for record in records[1:])
    times = dict(times_of(records, 1))
    assert list(times) == [
        "REQUEST_START",
        "QUEUE_START",
        "COMPUTE_START",
        "COMPUTE_INPUT_END",
        "COMPUTE_OUTPUT_START",
        "COMPUTE_END",
        "INFER_RESPONSE_COMPLETE",
        "REQUEST_END",
    ]
    assert [*times.values()] == sorted(times.values())


def test_tensors_are_written_as_the_reference_writes_them(traced):
    """The level TENSORS alone tells inputs and outputs as text, and no times."""
    running, path = traced("TENSORS")
    running.model("m").infer(INPUT)
    running.close()
    assert records_of(path) == [
        {
            "id": 1,
            "activity": "TENSOR_QUEUE_INPUT",
            "tensor": {"name": "INPUT0", "data": "0,1", "shape": "1,2", "dtype": "FP32"},
        },
        {
            "id": 1,
            "activity": "TENSOR_BACKEND_OUTPUT",
            "tensor": {"name": "OUTPUT0", "data": "0,1.5", "shape": "1,2", "dtype": "FP32"},
        },
    ]


def test_a_failure_has_its_times_too(traced):
    """A request that fails in its execution is traced to the end; one that is refused is not traced."""
    running, path = traced("TIMESTAMPS")
    with pytest.raises(InferenceError):
        running.model("m").infer({"INPUT0": np.full((1, 2), 7, np.float32)})
    with pytest.raises(InferenceError):
        running.model("m").infer({})
    running.close()
    records = records_of(path)
    assert {record["id"] for record in records} == {1}
    assert times_of(records, 1)[-1][0] == "REQUEST_END"


class Refusing(DefaultScheduler):
    """Has a queue that is always full."""

    def enqueue(self, request):
        raise UnavailableError(f"[request id: {request.id}] Exceeds maximum queue size")


class RefusingPlugin(ArithmeticPlugin):
    """Offers it as the scheduler of models that batch."""

    @hookimpl
    def charonia_schedulers(self):
        return {"dynamic_batching": f"{__name__}:Refusing"}


def test_what_the_queue_refuses_is_traced(server, model_repository, tmp_path):
    """A request that fits its model, but not into its queue, has been in the model, as in the reference."""
    config = model_config("m")
    config.dynamic_batching.SetInParent()
    write_model(model_repository, config)
    path = tmp_path / "trace.json"
    options = ServerOptions(trace=TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(path)))
    running = server(model_repository, options=options, plugins=Plugins(entry_points=(), extra=[RefusingPlugin()]))
    request = InferenceRequest("m", {"INPUT0": np.zeros((1, 16), np.float32)}, lambda response: None, id="r1")
    trace = running.tracer.begin("m")
    trace.carry(request)
    with pytest.raises(UnavailableError):
        running.submit(request)
    running.close()
    records = records_of(path)
    assert records[0] == {"id": 1, "model_name": "m", "model_version": 1, "request_id": "r1"}
    assert [name for name, _ in times_of(records, 1)][:2] == ["REQUEST_START", "QUEUE_START"]
    assert trace.error == "[request id: r1] Exceeds maximum queue size"


def test_what_was_refused_is_its_makers_again(server, model_repository, tmp_path):
    """Whoever made the request may answer it: that is no second end of its trace, and the model does not count on it."""
    config = model_config("m", decoupled=True)
    config.dynamic_batching.SetInParent()
    write_model(model_repository, config)
    path = tmp_path / "trace.json"
    options = ServerOptions(trace=TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(path)))
    running = server(model_repository, options=options, plugins=Plugins(entry_points=(), extra=[RefusingPlugin()]))
    answers = []
    request = InferenceRequest("m", {"INPUT0": np.zeros((1, 16), np.float32)}, answers.append)
    running.tracer.begin("m").carry(request)
    with pytest.raises(UnavailableError):
        running.submit(request)
    request.fail(UnavailableError("as I said"))
    assert [str(answer.error) for answer in answers] == ["as I said"]
    assert running.get("m").idle
    assert running.close()
    assert [record["id"] for record in records_of(path) if "model_name" in record] == [1]


def test_a_version_0_is_traced_like_others(server, model_repository, tmp_path):
    """It is a version, and not none."""
    write_model(model_repository, model_config("m"), {"0/model": ""})
    path = tmp_path / "trace.json"
    options = ServerOptions(trace=TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(path)))
    running = server(model_repository, options=options, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]))
    running.model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)})
    running.close()
    assert records_of(path)[0] == {"id": 1, "model_name": "m", "model_version": 0}


def test_a_decoupled_execution_has_its_times(server, model_repository, tmp_path):
    """A request that is answered in full before its execution has returned has been executed until then."""
    write_model(model_repository, model_config("m", decoupled=True))
    path = tmp_path / "trace.json"
    options = ServerOptions(trace=TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(path)))
    running = server(model_repository, options=options, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]))
    assert len(list(running.model("m").stream({"INPUT0": np.full((1, 16), 2, np.float32)}))) == 2
    running.close()
    times = dict(times_of(records_of(path), 1))
    assert times["QUEUE_START"] <= times["COMPUTE_START"] <= times["COMPUTE_END"] <= times["REQUEST_END"]


def test_warming_up_is_not_traced(server, model_repository, tmp_path):
    """What the server asks a model by itself is no client's request."""
    write_model(model_repository, model_config("m"))
    path = tmp_path / "trace.json"
    setting = TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(path))
    server(
        model_repository,
        options=ServerOptions(trace=setting, warmup_batch_sizes=(1,)),
        plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]),
    ).close()
    assert not path.exists()


class Kept(TraceWriter):
    """Keeps what it is given: a mode of a third party."""

    origin_field = "x-trace"
    taken: ClassVar[list[object]] = []

    def origin(self, field):
        return field("x-trace") or None

    def end(self, trace):
        self.taken.append((trace.origin, list(trace.moments)))

    def close(self):
        """Have nothing left."""


class KeptPlugin:
    """Offers that mode."""

    @hookimpl
    def charonia_trace_writers(self):
        return {"kept": f"{__name__}:Kept"}


@pytest.fixture
def kept(server, model_repository):
    """Start a server with the mode "kept", which traces only who is traced already; gives it, and what the mode has taken."""
    write_model(model_repository, model_config("m", parameters={"gate": "m"}))
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin(), KeptPlugin()])
    options = ServerOptions(trace=TraceSetting(level=("TIMESTAMPS",), rate=0, mode="kept"))
    Kept.taken.clear()
    return server(model_repository, options=options, plugins=plugins), Kept.taken


def submit(running, fields):
    """Submit a request with header fields as a frontend does; gives its trace, if it has one, and where its answer comes."""
    responses = queue.SimpleQueue()
    request = InferenceRequest("m", {"INPUT0": np.zeros((1, 16), np.float32)}, responses.put)
    trace = running.tracer.begin("m", "IN", "OUT", fields.get)
    if trace is not None:
        trace.carry(request)
    running.submit(request)
    return trace, responses


def test_a_trace_is_complete_when_model_and_frontend_are_done(kept):
    """A mode of a third party is handed the trace once, with the moments of both."""
    running, taken = kept
    trace, responses = submit(running, {"x-trace": "mine"})
    responses.get(timeout=60)
    trace.answered_ns = time.monotonic_ns()
    trace.end()
    trace.end()
    running.close()
    ((origin, moments),) = taken
    assert origin == "mine"
    assert moments[-4:] == ["IN_START", "IN_END", "OUT_START", "OUT_END"]


def test_a_frontend_may_be_done_before_the_model(kept):
    """Where the client has gone, the trace waits for the model, and tells of no answer."""
    running, taken = kept
    with Gate("m") as gate:
        trace, responses = submit(running, {"x-trace": "mine"})
        gate.wait_entered()
        trace.end()
        assert taken == []
    responses.get(timeout=60)
    running.close()
    ((_, moments),) = taken
    assert moments[-2:] == ["IN_START", "IN_END"]
    assert not any(name.startswith("OUT") for name in moments)


@pytest.mark.parametrize("runs_code", [True, False])
def test_executions_that_may_run_the_authors_code_are_within_their_trace(kept, monkeypatch, runs_code):
    """A backend that runs none is spared that; the trace itself is the same."""
    running, taken = kept
    entered = []
    monkeypatch.setattr(Kept, "current", lambda _, trace: nullcontext(entered.append(trace.number)))
    monkeypatch.setattr(ArithmeticExecution, "runs_code", runs_code)
    _, responses = submit(running, {"x-trace": "mine"})
    responses.get(timeout=60)
    assert entered == ([1] if runs_code else [])
    assert taken == []  # until the frontend is done


def test_a_caller_in_process_may_be_within_a_trace(kept, monkeypatch):
    """The writer is asked for it where there is no frontend, and only of requests whose turn it is."""
    running, taken = kept
    monkeypatch.setattr(Kept, "caller", lambda _: "the caller's")
    running.model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)})
    running.trace_setting(changes={"trace_rate": ["1"]})
    running.model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)})
    _, responses = submit(running, {})
    responses.get(timeout=60)
    assert [origin for origin, _ in taken] == ["the caller's"]


@pytest.mark.parametrize("fields", [{}, {"x-trace": ""}])
def test_others_have_no_trace(kept, fields):
    """A request that belongs to no trace, and whose turn it is not, is not looked at."""
    running, taken = kept
    trace, responses = submit(running, fields)
    assert trace is None
    responses.get(timeout=60)
    running.close()
    assert taken == []


def test_rate_and_count_choose(traced):
    """Every third request is traced until two were; what is left of the count is told."""
    running, path = traced("TIMESTAMPS", rate=3, count=2)
    for number in range(12):
        running.model("m" if number % 2 else "other").infer(INPUT, id=str(number))
        if number == 5:
            assert running.trace_setting().count == 0
    running.close()
    assert [record["request_id"] for record in records_of(path) if "model_name" in record] == ["2", "5"]


def test_who_looks_at_a_models_settings_changes_nothing(traced):
    """A model that has no settings of its own shares the server's count with the others, and tells what is left of that."""
    running, path = traced("TIMESTAMPS", count=2)
    for number in range(4):
        running.model("m").infer(INPUT, id=str(number))
        assert running.trace_setting("m").count == max(1 - number, 0)
    running.close()
    assert [record["request_id"] for record in records_of(path) if "model_name" in record] == ["0", "1"]


@pytest.mark.parametrize("own", [False, True])
def test_one_of_so_many_is_traced_whichever_threads_ask(traced, side_by_side, own):
    """Threads that ask at the same time share the count: there are as many traces as it divides, be the setting the model's own."""
    running, path = traced(*(() if own else ("TIMESTAMPS",)), rate=7)
    if own:
        running.trace_setting("m", {"trace_level": ["TIMESTAMPS"], "trace_count": ["100"]})
    handle = running.model("m")
    side_by_side(lambda: handle.infer(INPUT), 175)
    assert running.trace_setting("m").count == (0 if own else -1)
    running.close()
    assert sum("model_name" in record for record in records_of(path)) == 100


def test_settings_hold_at_once_and_for_a_model_alone(traced):
    """What is set while the server runs holds from the next request on; a model may have its own."""
    running, path = traced()
    running.model("m").infer(INPUT)
    running.trace_setting("m", {"trace_level": ["TIMESTAMPS"], "trace_count": ["1"]})
    for _ in range(2):
        running.model("m").infer(INPUT, id="own")
        running.model("other").infer(INPUT)
    assert running.trace_setting("m").count == 0
    assert running.trace_setting().count == -1
    running.trace_setting("m", {"trace_level": None})
    running.close()
    assert [record["request_id"] for record in records_of(path) if "model_name" in record] == ["own"]


def test_numbered_files_are_full_after_so_many_traces(traced):
    """With a log frequency of two, five traces make three files, and the last is written at the end."""
    running, path = traced("TIMESTAMPS", log_frequency=2)
    for number in range(5):
        running.model("m").infer(INPUT, id=str(number))
    running.close()
    files = [records_of(path.with_name(f"trace.json.{index}")) for index in range(3)]
    told = [[record["request_id"] for record in records if "model_name" in record] for records in files]
    assert told == [["0", "1"], ["2", "3"], ["4"]]
    assert not path.exists()


def test_nothing_is_lost_under_load(traced, side_by_side):
    """Of many requests from several threads at once each has its trace."""
    running, path = traced("TIMESTAMPS")
    handle = running.model("m")
    side_by_side(lambda: handle.infer(INPUT), 250)
    running.close()
    heads = [record["id"] for record in records_of(path) if "model_name" in record]
    assert sorted(heads) == list(range(1, 1001))


def test_a_file_that_cannot_be_written_harms_nobody(server, model_repository, tmp_path, caplog):
    """The log says that there are no traces, and requests go on."""
    write_model(model_repository, model_config("m"))
    setting = TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(tmp_path / "no" / "where"))
    running = server(
        model_repository,
        options=ServerOptions(trace=setting),
        plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]),
    )
    for _ in range(2):
        running.model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)})
    running.close()
    assert sum("traces cannot be written" in message for message in caplog.messages) == 1

"""The access log, and the requests that records belong to."""

from __future__ import annotations

import json
import logging
import math
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from charonia.cli.log import writing_log
from charonia.errors import InferenceError
from charonia.executing import EXECUTING
from charonia.log_settings import LogSetting, LogSettings
from charonia.options import ServerOptions
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia.trace_settings import TraceSetting

INPUT = {"INPUT0": np.zeros((1, 16), np.float32)}


class Gone:
    """Has a text, and is nothing that JSON has."""

    def __str__(self):
        return "gone"


class Kept(logging.Handler):
    """Keeps the objects that it is given as JSON."""

    def __init__(self):
        super().__init__()
        self.documents = []

    def emit(self, record):
        self.documents.append(json.loads(self.format(record)))


@pytest.fixture
def log():
    """Write the log of the server in JSON; gives the objects of its lines."""
    logger = logging.getLogger("charonia")
    settings = LogSettings(LogSetting(format="JSON"), logger)
    settings.apply()
    handler = Kept()
    handler.addFilter(settings.passes)
    handler.setFormatter(settings.formatter)
    logger.addHandler(handler)
    yield handler.documents
    logger.removeHandler(handler)
    settings.close()


@pytest.fixture
def ask(server, model_repository):
    """Serve the model "m", ask it once well and once badly."""

    def run(**options):
        write_model(model_repository, model_config("m", parameters={"fail_on": "7"}))
        plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
        running = server(model_repository, options=ServerOptions(**options), plugins=plugins)
        running.model("m").infer(INPUT, id="r1")
        with pytest.raises(InferenceError):
            running.model("m").infer({"INPUT0": np.full((1, 16), 7, np.float32)}, id="r2")
        running.close()
        return running

    return run


def test_each_request_has_a_line(ask, log):
    """A line tells the model, the request, how it ended, and its times, which fit together."""
    ask(log_access=True)
    lines = [line for line in log if line["logger"] == "charonia.access"]
    assert [(line["model"], line["version"], line["request_id"], line["status"]) for line in lines] == [
        ("m", 1, "r1", "OK"),
        ("m", 1, "r2", "INTERNAL"),
    ]
    for line in lines:
        assert 0 <= line["queue_us"] + line["compute_us"] <= line["total_us"] + 2
        assert line["message"].startswith(
            f"model=m version=1 id={line['request_id']} status={line['status']} total_us="
        )


def test_a_decoupled_execution_has_its_time(log, server, model_repository):
    """A model that gives its last response before its execution has returned has computed until then."""
    write_model(model_repository, model_config("m", decoupled=True, parameters={"gate": "late"}))
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    running = server(model_repository, options=ServerOptions(log_access=True), plugins=plugins)
    with Gate("late") as gate, ThreadPoolExecutor(1) as beside:
        answers = beside.submit(lambda: list(running.model("m").stream({"INPUT0": np.full((1, 16), 2, np.float32)})))
        gate.wait_entered()
        entered_ns = time.monotonic_ns()
        held_us = (time.monotonic_ns() - entered_ns) // 1000
        gate.open()
        assert len(answers.result(timeout=60)) == 2
    running.close()
    (line,) = [line for line in log if line["logger"] == "charonia.access"]
    assert max(held_us, 1) <= line["compute_us"] <= line["total_us"] - line["queue_us"]


def test_without_the_option_there_is_none(ask, log):
    """The access log is off unless somebody wants it."""
    ask()
    assert not any(line["logger"] == "charonia.access" for line in log)


def test_what_is_logged_in_an_execution_names_its_request(ask, log, tmp_path):
    """The record of a failing execution has the model, the version, the request, its trace, and the traceback."""
    ask(trace=TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(tmp_path / "t.json")))
    (line,) = [line for line in log if line["level"] == "WARNING"]
    told = {name: line[name] for name in ("model", "version", "request_id", "trace_id")}
    assert told == {"model": "m", "version": 1, "request_id": "r2", "trace_id": "2"}
    assert line["message"] == 'model instance "m_0" failed to execute a batch'
    assert "ValueError: INPUT0 has the value 7" in line["exception"]
    assert line["time"].endswith("Z")


def test_whatever_code_puts_into_a_record_is_json(log):
    """An object in the place of a field is told as text, and a traceback that came as text, and where it was logged, are there."""
    number = np.int64(3)
    logging.getLogger("charonia.elsewhere").error("a", extra={"model": Gone(), "version": number, "total_us": math.nan})
    logging.getLogger("charonia.elsewhere").error("b", stack_info=True)
    there = {"name": "charonia.elsewhere", "msg": "c", "levelno": logging.ERROR, "exc_text": "ValueError: no"}
    logging.getLogger("charonia.elsewhere").handle(logging.makeLogRecord(there))
    assert [log[0][name] for name in ("model", "version", "total_us")] == ["gone", "3", "nan"]
    assert log[1]["stack"].startswith("Stack (most recent call last):")
    assert log[2]["exception"] == "ValueError: no"


@pytest.mark.parametrize("form", ["default", "JSON"])
def test_no_client_writes_lines_of_its_own(server, model_repository, tmp_path, form):
    """A request's id cannot end a line of the log."""
    name = "r1\nI 12:00:00.000 charonia.access: model=m"
    write_model(model_repository, model_config("m", parameters={"fail_on": "7"}))
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    path = tmp_path / "log"
    with writing_log(LogSetting(file=str(path), format=form)):
        running = server(model_repository, options=ServerOptions(log_access=True), plugins=plugins)
        with pytest.raises(InferenceError):
            running.model("m").infer({"INPUT0": np.full((1, 16), 7, np.float32)}, id=name)
        running.close()
    lines = [line for line in path.read_text().splitlines() if "r1" in line]
    assert [r"r1\nI 12:00:00.000 charonia.access" in line for line in lines] == [True, True]
    if form == "JSON":
        assert [json.loads(line)["request_id"] for line in lines] == [name, name]


@pytest.mark.parametrize("form", ["default", "ISO8601"])
def test_every_format_names_the_request(ask, tmp_path, form):
    """As text, it stands behind the message, and before the traceback; the access log has it in the message."""
    lines = []
    logger = logging.getLogger("charonia")
    settings = LogSettings(LogSetting(format=form), logger)
    settings.apply()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(settings.formatter.format(record))
    logger.addHandler(handler)
    ask(trace=TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(tmp_path / "t.json")), log_access=True)
    logging.getLogger("charonia.elsewhere").error("hello")
    logger.removeHandler(handler)
    settings.close()
    well, badly = [line for line in lines if " charonia.access: " in line]  # they come a little later
    ready, failed, elsewhere = [line for line in lines if " charonia.access: " not in line]
    assert ready.endswith(" s")
    assert well.split(" charonia.access: ")[1].startswith("model=m version=1 id=r1 status=OK total_us=")
    assert well.endswith(" trace_id=1")
    first = failed.splitlines()[0]
    assert first.endswith("failed to execute a batch [model=m version=1 request_id=r2 trace_id=2]")
    assert failed.endswith("ValueError: INPUT0 has the value 7")
    assert badly.endswith(" trace_id=2")
    assert elsewhere.endswith("charonia.elsewhere: hello")


@pytest.mark.parametrize("form", ["default", "JSON"])
def test_what_a_models_code_puts_into_a_record_hides_no_request(form):
    """Its fields may have the names of ours: where the record belongs to a request, that is told."""
    settings = LogSettings(LogSetting(format=form), logging.getLogger("charonia"))
    fields = {
        "name": "theirs",
        "levelname": "INFO",
        "levelno": logging.INFO,
        "msg": "hello",
        "request_id": 5,
        "model": None,
    }
    before = EXECUTING.set(((SimpleNamespace(model_name="m", id="r1", trace=None),), 3))
    line = settings.formatter.format(logging.makeLogRecord(fields))
    EXECUTING.reset(before)
    if form == "JSON":
        assert {"model": "m", "version": 3, "request_id": "r1"}.items() <= json.loads(line).items()
    else:
        assert line.endswith("theirs: hello [model=m version=3 request_id=r1]")


def test_what_is_logged_elsewhere_names_none(log):
    """A record that belongs to no request is a plain object."""
    logging.getLogger("charonia.elsewhere").error("hello %s", "you")
    (line,) = log
    line.pop("time")
    assert line == {"level": "ERROR", "logger": "charonia.elsewhere", "message": "hello you"}


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_lines_come_by_themselves_and_as_the_level_says(model_repository, server, level):
    """Nobody has to close the server to read them; while the level is too high there are none."""
    write_model(model_repository, model_config("m"))
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    running = server(model_repository, options=ServerOptions(log_access=True), plugins=plugins)
    records = queue.SimpleQueue()
    handler = logging.Handler(level=logging.INFO)
    handler.emit = records.put
    logger = logging.getLogger("charonia.access")
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        before = time.time()
        for number in range(3):
            running.model("m").infer(INPUT, id=str(number))
        after = time.time()
        if level == logging.INFO:
            got = [records.get(timeout=60) for _ in range(3)]
            assert [record.request_id for record in got] == ["0", "1", "2"]
            assert all(before <= record.created <= after for record in got)
            assert not got[-1].more
        running.close()
        assert records.empty()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_line_that_cannot_be_written_costs_no_other(model_repository, server, capsys):
    """A filter of whoever reads the log may fail; it is told so, and the next line is written."""

    def filter_out(record):
        if record.request_id == "0":
            raise ValueError("a filter fails")
        return True

    write_model(model_repository, model_config("m"))
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    running = server(model_repository, options=ServerOptions(log_access=True), plugins=plugins)
    handler = Kept()
    handler.setFormatter(logging.Formatter('"%(request_id)s"'))
    logger = logging.getLogger("charonia.access")
    logger.addFilter(filter_out)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        for number in range(2):
            running.model("m").infer(INPUT, id=str(number))
        running.close()
    finally:
        logger.removeHandler(handler)
        logger.removeFilter(filter_out)
        logger.setLevel(logging.NOTSET)
    assert handler.documents == ["1"]
    assert "a filter fails" in capsys.readouterr().err

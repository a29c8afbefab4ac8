"""The authors' kit itself: the suite on a backend without a framework, the guard, the fixtures, the builders."""

from __future__ import annotations

import json
import queue
import threading

import numpy as np
import pytest
from charonia.config import parse_config
from charonia.errors import InternalError, UnavailableError
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.testing.backend_suite import BackendSuite, Sample
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia.testing.suite import Suite

SETTINGS = {
    "scale": 3,
    "addend": 1,
    "fail_on": -7,
    "inputs": [["INPUT0", "FP32", [4]], ["INPUT1", "INT64", [-1]], ["INPUT2", "BYTES", [1]]],
    "outputs": [["OUTPUT0", "FP32", [4]], ["OUTPUT1", "INT64", [-1]], ["OUTPUT2", "BYTES", [1]]],
}


class TestArithmetic(BackendSuite):
    backend = "arithmetic"
    plugin = ArithmeticPlugin()
    max_batch_size = 8

    def write_model(self, repository, name):
        config = model_config(
            name, inputs=SETTINGS["inputs"], outputs=SETTINGS["outputs"], max_batch_size=self.max_batch_size
        )
        write_model(
            repository, config, {"1/model.json": json.dumps(SETTINGS | {"max_batch_size": self.max_batch_size})}
        )

    def write_broken_model(self, repository, name):
        write_model(repository, model_config(name), {"1/model.json": "{"})

    def inputs(self, value, batch):
        lead = (batch,) if self.max_batch_size else ()
        return {
            "INPUT0": np.full((*lead, 4), value, np.float32),
            "INPUT1": np.full((*lead, 3), value, np.int64),
            "INPUT2": np.full((*lead, 1), b"%d" % value, np.object_),
        }

    def samples(self):
        made = []
        for value, batch in ((2, 1), (5, 2), (-1, 1)):
            inputs = self.inputs(value, batch)
            outputs = {
                "OUTPUT0": inputs["INPUT0"] * np.float32(3) + np.float32(1),
                "OUTPUT1": inputs["INPUT1"] * 3 + 1,
                "OUTPUT2": inputs["INPUT2"],
            }
            made.append(Sample(inputs, outputs))
        return made

    def failing_inputs(self):
        return self.inputs(-7, 1)


class TestArithmeticWithoutBatches(TestArithmetic):
    max_batch_size = 0


class Replacing(TestArithmetic):
    def test_each_sample_is_answered_right(self, good_server):
        pass


class Expecting(TestArithmetic):
    @pytest.mark.xfail(reason="this one computes nothing")
    def test_each_sample_is_answered_right(self, good_server):
        pass


class GivingNoReason(TestArithmetic):
    @pytest.mark.xfail
    def test_each_sample_is_answered_right(self, good_server):
        pass


class Adding(TestArithmetic):
    def test_something_of_its_own(self):
        pass


@pytest.mark.parametrize("kind", [Replacing, GivingNoReason])
def test_replaced_standard_test_is_found(kind):
    """A subclass that overrides a standard test without a reason fails its guard, which names the test."""
    with pytest.raises(pytest.fail.Exception, match=rf"^{kind.__name__}\.test_each_sample_is_answered_right replaces"):
        kind().test_no_standard_test_is_replaced()


@pytest.mark.parametrize("kind", [Expecting, Adding, Suite])
def test_openly_failing_or_additional_tests_are_fine(kind):
    """A test that is marked with a reason, or that is new, passes the guard."""
    kind().test_no_standard_test_is_replaced()


def test_suite_says_what_is_missing(tmp_path):
    """An author who forgot a method is told which."""
    suite = type("TestEmpty", (BackendSuite,), {})()
    for call in (
        suite.samples,
        lambda: suite.write_model(tmp_path, "m"),
        lambda: suite.write_broken_model(tmp_path, "m"),
    ):
        with pytest.raises(NotImplementedError, match="TestEmpty must define"):
            call()
    assert suite.failing_inputs() is None


def test_built_configuration_is_read_back(model_repository):
    """What `write_model` writes is what `model_config` made."""
    config = model_config(
        "m",
        inputs=[("A", "BYTES", [1]), ("B", "BF16", [-1, 2])],
        max_batch_size=0,
        instance_count=3,
        decoupled=True,
        parameters={"scale": "2"},
    )
    directory = write_model(model_repository, config)
    text = (directory / "config.pbtxt").read_text()
    assert parse_config(text, model="m", file="config.pbtxt", environment={}).config == config
    assert (directory / "1").is_dir()


def test_fixture_server_closes_what_it_started(server, model_repository):
    """A server of the fixture serves until the end of the test."""
    write_model(model_repository, model_config(parameters={"scale": "2"}))
    started = server(model_repository, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]))
    answer = started.model("model").infer({"INPUT0": np.ones((1, 16), np.float32)})
    assert answer["OUTPUT0"].tolist() == [[2.0] * 16]


def test_surviving_thread_is_named(request, monkeypatch):
    """The fixture fails a test that leaves a thread of ours behind, and says which."""
    from charonia.testing import fixtures

    monkeypatch.setattr(fixtures, "PATIENCE_SECONDS", 0.01)
    check = fixtures.no_surviving_threads.__wrapped__()
    next(check)
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="charonia-forgotten", daemon=True)
    thread.start()
    with pytest.raises(pytest.fail.Exception, match="charonia-forgotten"):
        next(check)
    end.set()
    thread.join(30)


@pytest.fixture
def arithmetic(server, model_repository):
    def serve(**options):
        write_model(model_repository, model_config(**options))
        return server(model_repository, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]))

    return serve


ONES = {"INPUT0": np.ones((1, 16), np.float32)}


def test_gate_holds_an_execution(arithmetic):
    """While a gate is closed, requests wait at it or in the queue; when it opens, all are answered."""
    with Gate("slow") as gate:
        served = arithmetic(parameters={"gate": "slow"})
        answers = queue.SimpleQueue()
        for _ in range(2):
            served.submit(InferenceRequest("model", ONES, answers.put))
        assert gate.wait_entered() == "model_0"
        assert answers.empty()
        assert served.model("model").statistics().pending == 1
        gate.open()
        assert [answers.get(timeout=30).error for _ in range(2)] == [None, None]


def test_gate_has_its_name_alone():
    """Two gates of one name cannot be in use at the same time; one after the other they can."""
    with Gate("same"), pytest.raises(ValueError, match="in use already"), Gate("same"):
        pass
    with Gate("same"):
        pass


def test_arithmetic_fails_on_demand(arithmetic):
    """The value of `fail_on` makes an execution raise."""
    served = arithmetic(parameters={"fail_on": "1"})
    with pytest.raises(InternalError, match="ValueError: INPUT0 has the value 1"):
        served.model("model").infer(ONES)


def test_countdown_streams(arithmetic):
    """A decoupled model of the backend answers as often as its input says."""
    served = arithmetic(decoupled=True)
    responses = served.model("model").stream({"INPUT0": ONES["INPUT0"] * 3})
    assert [float(response["OUTPUT0"][0, 0]) for response in responses] == [3.0, 2.0, 1.0]


def test_closed_server_refuses(arithmetic):
    """A test may close the fixture's server itself."""
    served = arithmetic()
    served.close()
    with pytest.raises(UnavailableError):
        served.submit(InferenceRequest("model", ONES, print))
